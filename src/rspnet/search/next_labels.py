"""What to label next: windows that a classifier is least sure of, and in turn windows unlike all that have labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng
from rspnet.features.read import StoredVideo
from rspnet.features.window_classifier import WindowClassifier
from rspnet.search.hits import ClassHit
from rspnet.search.label_log import Labels

SKETCH = 32
"""Numbers of a sketch, which stands for a window's vectors where windows are compared."""
_POOL = 2000
_SURE_POOL = 400
Floats = NDArray[np.float64]


def doubt(chances: Floats, *, exclusive: bool) -> Floats:
    """How unsure probabilities [n, C] are, 0 to 1.

    1 minus the lead of the first class over the second where classes exclude each other; else 1 minus twice the
    distance from one half of the probability that is nearest to it.
    """
    if exclusive and chances.shape[1] > 1:
        ordered = np.sort(chances, axis=1)
        return np.asarray(1 - (ordered[:, -1] - ordered[:, -2]))
    return np.asarray(1 - 2 * np.abs(chances - 0.5).min(axis=1))


def next_to_label(
    videos: Sequence[StoredVideo],
    sketches: Mapping[str, NDArray[np.float32]],
    classifier: WindowClassifier,
    labels: Labels,
    *,
    k: int,
) -> list[ClassHit]:
    """Up to k windows that touch no label and not one another.

    Every first is the least sure one left, every second the one whose sketch is furthest from those of all labelled and
    chosen windows, of a drawn pool.

    Args:
        videos: their values are probabilities [n, C].
        sketches: [n, SKETCH] of their windows, by path.
        classifier: what gave the probabilities.
        labels: of all videos.
        k: windows wanted.
    """
    if not videos:
        return []
    spans = [
        (video.path, start, end) for video in videos for start, end in zip(video.start_s, video.end_s, strict=True)
    ]
    chances = np.concatenate([video.values for video in videos])
    points = np.concatenate([sketches[video.path] for video in videos])
    free = np.concatenate([unlabelled(video.path, video.start_s, video.end_s, labels) for video in videos])
    unsure = doubt(chances, exclusive=classifier.exclusive)
    places = np.flatnonzero(free)
    least_sure = places[np.argsort(-unsure[places], kind="stable")]
    pool = numpy_rng("ask next", len(places)).permutation(places)[:_POOL]
    pool = np.union1d(pool, least_sure[:_SURE_POOL])
    far = np.full(len(pool), np.inf)
    for point in points[~free][:_POOL]:
        far = np.minimum(far, ((points[pool] - point) ** 2).sum(axis=1))
    fps = {video.path: video.fps for video in videos}
    left = np.ones(len(pool), bool)
    hits: list[ClassHit] = []
    while len(hits) < k and left.any():
        score = unsure[pool] if len(hits) % 2 == 0 else far
        place = int(pool[int(np.argmax(np.where(left, score, -np.inf)))])
        left &= [not _touches(spans[one], spans[place]) for one in pool]
        far = np.minimum(far, ((points[pool] - points[place]) ** 2).sum(axis=1))
        best = int(chances[place].argmax())
        path, start, end = spans[place]
        hits.append(
            ClassHit(
                path=path,
                start_s=float(start),
                end_s=float(end),
                score=float(chances[place, best]),
                fps=fps[path],
                label=classifier.names[best],
                is_event=False,
            )
        )
    return hits


def unlabelled(path: str, start_s: Floats, end_s: Floats, labels: Labels) -> NDArray[np.bool_]:
    """Which windows of a video no label touches: bool [n]."""
    free = np.ones(len(start_s), bool)
    for mark in labels.of(path):
        free &= (end_s <= mark.start_s) | (start_s >= mark.end_s)
    return free


def _touches(one: tuple[str, float, float], other: tuple[str, float, float]) -> bool:
    return one[0] == other[0] and one[1] < other[2] and one[2] > other[1]
