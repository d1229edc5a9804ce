"""Models of pretext methods, made of their `config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rspnet.core.rng import derive_seed
from rspnet.models.registry import create_backbone
from rspnet.pretext.arguments import BARE_METHOD, DEFAULT_METHOD
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.methods import find_method
from rspnet.pretext.opening import built, without_heads
from rspnet.pretext.outside import refuse_outside
from rspnet.pretext.rspnet import RSPNet


def create_method(config: Mapping[str, Any]) -> PretextModel:
    """A freshly initialised model of a `config`; one without a method is RSPNet's.

    Raises:
        ConfigError: unknown method, an argument out of its range, or a plug-in that is not loaded.
        TypeError: arguments that the method does not have.
    """
    return built(_of_method, config)


def _of_method(*, method: str = DEFAULT_METHOD, **settings: Any) -> PretextModel:
    if method == BARE_METHOD:
        network = create_backbone(settings.pop("backbone", ""), input=settings.pop("input", "rgb"))
        return BareBackbone(network, **settings)
    return find_method(method).rebuild(**settings)


def fresh_twin(model: PretextModel, *, seed: int) -> PretextModel:
    """A model of the same structure with the initial weights that the seed gives, in eval mode.

    Raises:
        ConfigError: its network is another program's.
    """
    refuse_outside(model.backbone, "fresh weights")
    torch.manual_seed(derive_seed(seed, "initial weights"))
    return create_method(model.config).eval()


def require_heads(model: PretextModel, *, task: str) -> RSPNet:
    """The model as one with a motion and an appearance head.

    Args:
        model: any pre-trained model.
        task: what needs the heads, for the message.

    Raises:
        CheckpointError: it was pre-trained by a method without them.
    """
    if not isinstance(model, RSPNet):
        raise without_heads(task, method=model.config["method"])
    return model
