"""One vector of a video from the vectors of its clips: their mean, how they vary, and how fast they change."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Descriptor = Literal["mean", "mean_std", "mean_std_change"]
RULE = 2
"""Of "mean_std_change", for stamps and caches; raised whenever its numbers change."""
_PARTS: dict[Descriptor, int] = {"mean": 1, "mean_std": 2, "mean_std_change": 3}


def describe(clips: NDArray[np.floating], descriptor: Descriptor) -> NDArray[np.float32]:
    """The descriptor of clip vectors [n, C] in the order of time, float32.

    "mean": [C], the published protocol. "mean_std": [2 C], followed by the standard deviation of each feature over the
    clips, divided by n: what a video shows, and how much that varies within it (moments of features over time, arXiv
    2602.09146). "mean_std_change": [3 C], followed by the root mean square of its change from a clip to the next: how
    fast it varies; here each of the three parts is divided by the root of its length, so that vectors of videos differ
    less by how much there is of a feature and more by which features there are, and so that a cosine of two of them
    hears all parts. A single clip varies by 0. A video played backwards has the same descriptor; of "mean" and
    "mean_std" the clips may come in any order.
    """
    values = np.asarray(clips, np.float64)
    parts = [values.mean(axis=0)]
    if descriptor != "mean":
        parts.append(values.std(axis=0))
    if descriptor == "mean_std_change":
        steps = np.diff(values, axis=0)
        parts.append(np.sqrt((steps**2).sum(axis=0) / max(1, len(steps))))
        parts = [part / max(float(np.linalg.norm(part)), 1e-12) ** 0.5 for part in parts]
    return np.concatenate(parts).astype(np.float32)


def usual_descriptor(clips: int) -> Descriptor:
    """What a vector made of that many clips is where nobody says: with one clip nothing varies."""
    return "mean_std_change" if clips > 1 else "mean"


def descriptor_length(num_features: int, descriptor: Descriptor) -> int:
    """Numbers in a descriptor of clip vectors of `num_features` numbers."""
    return num_features * _PARTS[descriptor]


def joins_stages(descriptor: Descriptor) -> bool:
    """Whether it is made of earlier stages, too, where a network offers one (`Backbone.forward_described`)."""
    return descriptor == "mean_std_change"


def standardised(
    gallery: NDArray[np.float32], queries: NDArray[np.float32], descriptor: Descriptor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Descriptors [N, D] and [Q, D] as a linear classifier should read them.

    Those of "mean" stay. Of the others every number is standardised by its mean and deviation over the gallery: means
    are several times as large as deviations, which would not count.
    """
    if descriptor == "mean":
        return gallery, queries
    middle = gallery.mean(axis=0, dtype=np.float64)
    spread = np.maximum(gallery.std(axis=0, dtype=np.float64), 1e-6)
    found = [((part - middle) / spread).astype(np.float32) for part in (gallery, queries)]
    return found[0], found[1]
