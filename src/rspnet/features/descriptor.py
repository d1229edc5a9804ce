"""One vector of a video from the vectors of its clips: their mean, and how they vary."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Descriptor = Literal["mean", "mean_std"]


def describe(clips: NDArray[np.floating], descriptor: Descriptor) -> NDArray[np.float32]:
    """The descriptor of clip vectors [n, C]: float32 [C] for "mean" (the published protocol), [2 C] for "mean_std".

    "mean_std" is the mean followed by the standard deviation of each feature over the clips, divided by n: what a video
    shows, and how much that changes within it (moments of features over time, arXiv 2602.09146). The order of the
    clips does not matter; a single clip has a deviation of 0.
    """
    values = np.asarray(clips, np.float64)
    parts = [values.mean(axis=0)]
    if descriptor == "mean_std":
        parts.append(values.std(axis=0))
    return np.concatenate(parts).astype(np.float32)


def usual_descriptor(clips: int) -> Descriptor:
    """What a vector made of that many clips is where nobody says: with one clip nothing varies."""
    return "mean_std" if clips > 1 else "mean"


def descriptor_length(num_features: int, descriptor: Descriptor) -> int:
    """Numbers in a descriptor of clip vectors of `num_features` numbers."""
    return num_features * (2 if descriptor == "mean_std" else 1)


def comparable(
    gallery: NDArray[np.float32], queries: NDArray[np.float32], descriptor: Descriptor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Descriptors [N, D] and [Q, D] as cosines should compare them.

    Those of "mean" stay. Of "mean_std" every number is standardised by its mean and deviation over the gallery: means
    are several times as large as deviations, which would not count.
    """
    if descriptor == "mean":
        return gallery, queries
    middle = gallery.mean(axis=0, dtype=np.float64)
    spread = np.maximum(gallery.std(axis=0, dtype=np.float64), 1e-6)
    standardised = [((part - middle) / spread).astype(np.float32) for part in (gallery, queries)]
    return standardised[0], standardised[1]
