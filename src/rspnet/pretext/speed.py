"""The views one training step sees of every video."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class SpeedViews(NamedTuple):
    """Float clips [B, 3, T, H, W] of one batch of videos; which frames they are is `rspnet.video.clips`' matter.

    `query` and `key_same` play at each video's own speed, `key_other` shows the window of `key_same` at the other.
    """

    query: Tensor
    key_same: Tensor
    key_other: Tensor


class ClipViews(NamedTuple):
    """Float clips of one batch of videos for a task with labels: n of [B, 3, T, H, W], and int64 labels [B]."""

    clips: tuple[Tensor, ...]
    label: Tensor
