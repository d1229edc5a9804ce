"""The views one training step sees of every video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, cast

from torch import Tensor

from rspnet.data.batches import PairBatch, make_views
from rspnet.data.clip_sets import ClipBatch, augment_clips

Views = TypeVar("Views")


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


def views_of(batch: PairBatch | ClipBatch, *, noise_std: float = 0.0) -> SpeedViews | ClipViews:
    """A batch's clips as a method sees them, augmented on the device where the batch is.

    Args:
        batch: pairs of two speeds, or clips with labels.
        noise_std: see `AugmentPreset.noise_std`.
    """
    if isinstance(batch, ClipBatch):
        return ClipViews(augment_clips(batch, noise_std=noise_std), batch.label)
    return SpeedViews(*make_views(batch, noise_std=noise_std))


def num_samples(views: Any) -> int:
    """Samples B in views: the length of their first tensor."""
    while not isinstance(views, Tensor):
        views = views[0]
    return len(views)


def split_views(views: Views, parts: int) -> list[Views]:
    """Views of B samples, a tuple of tensors or of such tuples, as `parts` views of B / parts samples each."""
    if isinstance(views, Tensor):
        return cast(list[Views], list(views.chunk(parts)))
    pieces = zip(*(split_views(item, parts) for item in cast(Sequence[Any], views)), strict=True)
    make: Any = getattr(views, "_make", tuple)
    return [make(piece) for piece in pieces]
