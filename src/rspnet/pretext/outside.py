"""Frozen encoders of other programs as backbones: `torch:FILE.pt2` and `hf:FOLDER`.

They have no heads and no pretext task: all that probes, embeds, retrieves, classifies or indexes features takes them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from rspnet.core.errors import ConfigError
from rspnet.models.backbone import Backbone


class OutsideBackbone(Backbone):
    """An encoder of another program; its features are a feature map of one or more places.

    Args:
        name: how it was named.
        num_features: channels of the features.
        digest: hexadecimal hash of what the weights alone do not say (the program, the configuration): a buffer, so
            that whatever is keyed by the weights is keyed by this, too.
    """

    keeps_precision: ClassVar[bool] = False
    """Whether it computes in the precision it came with, whatever is asked for."""

    def __init__(self, *, name: str, num_features: int, digest: str) -> None:
        super().__init__(name=name, num_features=num_features, input="rgb")
        self.digest: Tensor
        self.register_buffer("digest", torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8))

    def forward_features(self, clips: Tensor) -> Tensor:
        """See `encoded`."""
        return self.encoded(clips)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """A single one."""
        return [self.encoded]

    @abstractmethod
    def encoded(self, clips: Tensor) -> Tensor:
        """Normalised clips [B, 3, T, H, W] to features [B, C, T', H', W']."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves tensors as `fn` does, but leaves their layout alone: `channels_last_3d` is not for pictures."""

        def moved(tensor: Tensor) -> Tensor:
            told = fn(torch.empty(0, dtype=tensor.dtype, device=tensor.device))
            return tensor.to(told.device, tensor.dtype if self.keeps_precision else told.dtype)

        return super()._apply(moved, recurse)  # type: ignore[no-untyped-call]


def as_map(features: Tensor) -> Tensor | None:
    """Features [B, C], tokens [B, N, C] or a map [B, C, T', H', W'] as a map; None where they are none of these."""
    if features.dim() == 2:
        return features[:, :, None, None, None]
    if features.dim() == 3:
        return features.transpose(1, 2)[:, :, :, None, None]
    return features if features.dim() == 5 else None


def refuse_outside(backbone: Backbone, task: str) -> None:
    """Raise a ConfigError where a network is another program's: the task builds, trains or writes networks of ours."""
    if isinstance(backbone, OutsideBackbone):
        raise ConfigError(
            f"{task} does not take {backbone.name}: an encoder of another program stays as it is; embed, probe, "
            "retrieve, classify and index take it"
        )
