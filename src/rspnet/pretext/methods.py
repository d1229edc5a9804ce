"""Pretext methods by name, and what can be asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch

from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.rng import derive_seed
from rspnet.models.registry import create_backbone
from rspnet.pretext.bare import METHOD as BARE
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.classification import ClipClassification
from rspnet.pretext.moco import MoCo
from rspnet.pretext.rspnet import RSPNet

Method = Literal["rspnet", "pace", "speednet", "moco", "order"]


def create_method(config: Mapping[str, Any]) -> PretextModel:
    """A freshly initialised model of a `config`; one without a method is RSPNet's.

    Raises:
        ConfigError: unknown method, or an argument out of its range.
        TypeError: arguments that the method does not have.
    """
    settings = dict(config)
    method = settings.pop("method", "rspnet")
    if method == BARE:
        network = create_backbone(settings.pop("backbone", ""), input=settings.pop("input", "rgb"))
        return BareBackbone(network, **settings)
    if method not in get_args(Method):
        raise ConfigError(f"unknown pretext method {method!r}: one of {', '.join(get_args(Method))}")
    if method == "rspnet":
        return RSPNet(**settings)
    return MoCo(**settings) if method == "moco" else ClipClassification(method, **settings)


def fresh_twin(model: PretextModel, *, seed: int) -> PretextModel:
    """A model of the same structure with the initial weights that the seed gives, in eval mode."""
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
        method = model.config["method"]
        origin = (
            "these weights hold a backbone"
            if method == BARE
            else f"this network was pre-trained by {method!r} and has its backbone"
        )
        raise CheckpointError(
            f"{task} needs the motion and the appearance head of RSPNet; {origin} only: use probe, retrieve or embed"
        )
    return model
