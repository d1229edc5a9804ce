"""How good a time line is: segment F1 at an overlap, edit score, average precision, and their bootstrap intervals.

Segment F1@k and the edit score are those of temporal segmentation (Lea et al., Temporal Convolutional Networks for
Action Segmentation and Detection, CVPR 2017, section 4.1): a predicted segment is right where its overlap (IoU) with
a true segment of its class, not taken before, is at least k; the edit score compares the order of the segments alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng
from rspnet.features.scores import percentile_interval
from rspnet.features.timeline import Event

OVERLAPS = (0.1, 0.25, 0.5)
"""Least IoU of a right segment, as published."""
SAMPLES = 1000


class Counts(NamedTuple):
    """Predicted segments that are right, those that are wrong, and true ones that were missed."""

    right: int
    wrong: int
    missed: int

    def __add__(self, other: object) -> Counts:
        assert isinstance(other, Counts)
        return Counts(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def f1(self) -> float:
        """2 right / (2 right + wrong + missed); 0 where there is nothing to count."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else 0.0


def segment_counts(predicted: Sequence[Event], true: Sequence[Event], overlap: float) -> Counts:
    """Segments of one video that are right, wrong and missed at an overlap (IoU) above 0.

    Every predicted segment, in the order of time, looks for the true segment of its class that it overlaps most; it is
    right if that is enough and no segment before it had the same.
    """
    taken: set[int] = set()
    right = 0
    for event in sorted(predicted, key=lambda one: (one.start_s, one.end_s)):
        shares = [_iou(event, other) if other.label == event.label else 0.0 for other in true]
        best = max(range(len(shares)), key=shares.__getitem__, default=-1)
        if best >= 0 and shares[best] >= overlap and best not in taken:
            taken.add(best)
            right += 1
    return Counts(right, len(predicted) - right, len(true) - right)


def _iou(one: Event, other: Event) -> float:
    common = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    union = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    return max(0.0, common) / union if union > 0 else 0.0


def edit_score(predicted: Sequence[Event], true: Sequence[Event]) -> float:
    """1 - Levenshtein distance of the two orders of classes / the longer one's length; 1 where both are empty."""
    one, other = ([event.label for event in sorted(events, key=_by_time)] for events in (predicted, true))
    if not one or not other:
        return float(not one and not other)
    row = np.arange(len(other) + 1)
    for number, label in enumerate(one, start=1):
        kept = row[:-1] + np.array([label != wanted for wanted in other])
        best = np.minimum(kept, row[1:] + 1)
        row = np.empty_like(row)
        row[0] = number
        for place, value in enumerate(best, start=1):
            row[place] = min(value, row[place - 1] + 1)
    return float(1 - row[-1] / max(len(one), len(other)))


def _by_time(event: Event) -> tuple[float, float, str]:
    return event.start_s, event.end_s, event.label


def average_precision(chances: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Sum over the ranking of precision times the step in recall; equal chances count as one step. NaN without truth.

    Args:
        chances: [n].
        truth: [n].
    """
    if not truth.any():
        return float("nan")
    order = np.argsort(-chances, kind="stable")
    last = np.append(np.diff(chances[order]) != 0, True)  # of the equal ones
    right = np.cumsum(truth[order])[last]
    seen = np.arange(1, len(truth) + 1)[last]
    return float((np.diff(right, prepend=0) * right / seen).sum() / truth.sum())  # in this order never above 1


def interval_over_groups(
    statistic: Callable[[NDArray[np.int64]], float], groups: Sequence[Hashable], *, seed: int, samples: int = SAMPLES
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a statistic, whole groups (videos, sites) drawn with replacement.

    NaN results of a draw are left out; NaN where there is but one group, which says nothing of others.

    Args:
        statistic: of the places of the items that are drawn, int64 [m] with repeats.
        groups: of every item.
        seed: of the draws.
        samples: how many.
    """
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    if len(members) < 2:
        return float("nan"), float("nan")
    places = [np.asarray(part) for part in members.values()]
    rng = numpy_rng("bootstrap groups", seed)
    draws = [
        statistic(np.concatenate([places[which] for which in rng.integers(len(places), size=len(places))]))
        for _ in range(samples)
    ]
    found = np.array(draws)[~np.isnan(draws)]
    if not len(found):
        return float("nan"), float("nan")
    return percentile_interval(found)
