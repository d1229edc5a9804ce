"""A backbone with an average pool and a linear classifier (METHOD section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain, zip_longest
from types import BuiltinFunctionType, MethodDescriptorType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rspnet.core.counts import counted
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.plugins import require_plugins
from rspnet.models.backbone import Backbone
from rspnet.models.heads import pool
from rspnet.models.registry import backbone_plugins, create_backbone
from rspnet.models.weights import load_strictly

PUBLISHED_DROPOUT = {"s3dg": 0.5}
"""Dropout before the classifier where METHOD section 3 has one."""


class Classifier(nn.Module):
    """Clips to class scores.

    Args:
        backbone: the network.
        num_classes: C.
        dropout: share of pooled features that are dropped in training.
        frozen_stages: stages of the backbone, from its input, that are never changed (batch-norm statistics included).

    Raises:
        ConfigError: more stages to freeze than there are.
    """

    def __init__(self, backbone: Backbone, *, num_classes: int, dropout: float, frozen_stages: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(backbone.num_features, num_classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        parts = freezable_stages(backbone) if frozen_stages else []
        if frozen_stages > len(parts):
            raise ConfigError(
                f"--model.freeze {frozen_stages}: {backbone.name} has {counted(len(parts), 'stage')} that can be frozen"
            )
        self._frozen = [module for stage in parts[:frozen_stages] for module in stage]
        for module in self._frozen:
            module.requires_grad_(False)

    @property
    def config(self) -> dict[str, Any]:
        """What a checkpoint needs to build the same module again."""
        needed = backbone_plugins(self.backbone.name)
        return {
            **({"plugins": needed} if needed else {}),
            "backbone": self.backbone.name,
            "input": self.backbone.input,
            "num_classes": self.linear.out_features,
            "dropout": self.dropout.p,
        }

    def forward(self, clips: Tensor) -> Tensor:
        """Class scores (logits) float32 [B, C] of normalised clips [B, 3, T, H, W], whatever autocast says."""
        pooled = pool(self.backbone.forward_features(clips))
        with torch.autocast(clips.device.type, enabled=False):
            return cast(Tensor, self.linear(self.dropout(pooled.to(self.linear.weight.dtype))))

    def train(self, mode: bool = True) -> Classifier:
        """As every module's, but the batch norms of frozen stages stay as they are."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


def restore_classifier(config: Mapping[str, Any], state: Mapping[str, Any], *, source: str) -> Classifier:
    """The classifier of a checkpoint's `model_config` and `model`, in eval mode.

    Raises:
        CheckpointError: the two do not belong together.
    """
    settings = dict(config)
    try:
        require_plugins(settings.pop("plugins", ()))
        backbone = create_backbone(settings.pop("backbone"), input=settings.pop("input"))
        model = Classifier(backbone, **settings)
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{source} has a model_config that does not fit: {error}") from error
    load_strictly(model, state, source=source)
    return model.eval()


def freezable_stages(backbone: Backbone) -> list[list[nn.Module]]:
    """The backbone's parts from input to output; a batch norm belongs to the layer before it.

    A stage of a network with two streams is that stage of both.
    """
    if not type(backbone).stages.__module__.startswith("rspnet."):
        return _stages_from_outside(backbone)
    streams = [freezable_stages(child) for child in backbone.children() if isinstance(child, Backbone)]
    if streams:
        return [list(chain(*stage)) for stage in zip_longest(*streams, fillvalue=[])]
    return _with_their_norms(backbone.children())


def _stages_from_outside(backbone: Backbone) -> list[list[nn.Module]]:
    """As `stages` runs them, up to the first function that may use layers; those of torch use none."""
    modules: list[nn.Module] = []
    for stage in backbone.stages():
        if isinstance(stage, nn.Module):
            modules.append(stage)
        elif not _is_of_torch(stage):
            break
    return _with_their_norms(modules)


def _is_of_torch(function: Any) -> bool:
    """Whether a function is torch's own, not a method of a module."""
    function = function.func if isinstance(function, partial) else function
    if isinstance(function, BuiltinFunctionType | MethodDescriptorType):
        return True
    module = str(getattr(function, "__module__", ""))
    return getattr(function, "__self__", None) is None and module.startswith("torch.")


def _with_their_norms(modules: Iterable[nn.Module]) -> list[list[nn.Module]]:
    parts: list[list[nn.Module]] = []
    for module in modules:
        if isinstance(module, _BatchNorm) and parts:
            parts[-1].append(module)
        else:
            parts.append([module])
    return parts
