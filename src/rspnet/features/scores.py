"""Scores of a classifier over videos, with bootstrap intervals; plain NumPy: `rspnet compare` does without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.rng import numpy_rng

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
_SAMPLES = 2000
_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure (share of 1) with its 95 % bootstrap interval over videos."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike, *, seed: int, samples: int = _SAMPLES, level: float = _LEVEL
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of per-item values (say, hits of queries): (low, high).

    NOTE: where all values are 0, or all are 1, all draws are alike. The interval then reaches as far as the exact one
    of a share (Clopper and Pearson 1934): no hit of 3 is [0, 0.71].

    Args:
        values: [n], n >= 1.
        seed: the same values and seed give the same interval.
        samples: resamples drawn.
        level: probability the interval should cover, between 0 and 1.

    Raises:
        RSPNetError: no values, more than one dimension, or a level or number of samples out of range.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise RSPNetError(f"values have shape {array.shape}; a bootstrap needs one dimension and at least one value")
    if not 0 < level < 1 or samples < 1:
        raise RSPNetError(f"level is {level}, samples {samples}; the level must be in (0, 1), samples at least 1")
    if exact := _of_all_or_none(array, level):
        return exact
    return percentile_interval(_resampled_means(array, numpy_rng("bootstrap", seed), samples), level=level)


def percentile_interval(draws: Sequence[float] | Floats, *, level: float = _LEVEL) -> tuple[float, float]:
    """The interval (low, high) that holds the middle `level` of a statistic's draws [n], n >= 1."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(values: Floats, rng: np.random.Generator, samples: int) -> Floats:
    """Means [samples] of as many values as there are, drawn with replacement from values [n]."""
    return np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(samples)])


def _of_all_or_none(values: Floats, level: float) -> tuple[float, float] | None:
    """The exact interval of a share where each of its values [n] is 0, or each is 1; else None."""
    if (values == values[0]).all() and values[0] in (0, 1):
        return _of_equal(values, level, least=0, most=1)
    return None


def _of_equal(values: Floats, level: float, *, least: float, most: float) -> tuple[float, float]:
    """The interval of the mean of values [n], all alike, if there may be others, from `least` to `most`.

    Of so many others none is drawn with probability (1 - level) / 2 (Clopper and Pearson 1934).
    """
    value, others = float(values[0]), 1 - ((1 - level) / 2) ** (1 / len(values))
    return value - others * (value - least), value + others * (most - value)


def top_k_hits(scores: Floats, labels: Labels, k: int) -> NDArray[np.bool_]:
    """Whether a video's class is among its k highest scores: bool [N].

    Equal scores are counted against the right class, so a constant classifier gets nothing for free.

    Args:
        scores: [N, C], any monotonic score.
        labels: int64 [N], in 0..C-1.
        k: classes that count; with C <= k every video is a hit.
    """
    own = scores[np.arange(len(labels)), labels]
    ahead = (scores >= own[:, None]).sum(axis=1) - 1
    return np.asarray(ahead < k)


def mean_class_accuracy(hits: NDArray[np.bool_], labels: Labels) -> float:
    """Mean over the classes present of the share of their videos that are right."""
    return float(_class_mean(hits.astype(np.float64), labels, np.ones(len(labels))))


def score_table(scores: Floats, labels: Labels, *, seed: int) -> dict[str, Interval]:
    """`top1`, `top5` and `mean_class_accuracy` with bootstrap intervals.

    Raises:
        RSPNetError: no video, or a label outside the classes.
    """
    if not len(labels):
        raise RSPNetError("no video to score")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise RSPNetError(
            f"class {int(labels.max())} was never trained: the classifier has "
            f"{counted(scores.shape[1], 'class')}, 0 to {scores.shape[1] - 1}"
        )
    hits = {"top1": top_k_hits(scores, labels, 1), "top5": top_k_hits(scores, labels, 5)}
    table = {}
    for name, hit in hits.items():
        table[name] = Interval(float(hit.mean()), *bootstrap_interval(hit, seed=seed))
    table["mean_class_accuracy"] = _class_interval(hits["top1"], labels, seed)
    return table


def confusion_matrix(labels: Labels, predicted: Labels, num_classes: int) -> NDArray[np.int64]:
    """Counts [true class, predicted class]."""
    pairs = np.bincount(labels * num_classes + predicted, minlength=num_classes * num_classes)
    return pairs.reshape(num_classes, num_classes).astype(np.int64)


def _class_interval(hits: NDArray[np.bool_], labels: Labels, seed: int) -> Interval:
    values = hits.astype(np.float64)
    if exact := _of_all_or_none(values, _LEVEL):
        return Interval(mean_class_accuracy(hits, labels), *exact)
    rng = numpy_rng("bootstrap classes", seed)
    count = len(labels)
    draws = [
        _class_mean(values, labels, np.bincount(rng.integers(count, size=count), minlength=count))
        for _ in range(_SAMPLES)
    ]
    return Interval(mean_class_accuracy(hits, labels), *percentile_interval(draws))


def _class_mean(values: Floats, labels: Labels, weights: NDArray[Any]) -> float:
    """Mean over classes of the weighted mean of their videos' values; classes of weight 0 are left out."""
    total = np.bincount(labels, weights=weights)
    right = np.bincount(labels, weights=weights * values)
    return float((right[total > 0] / total[total > 0]).mean())


def paired_difference(first: Floats, second: Floats, *, seed: int) -> tuple[Interval, float]:
    """Mean of `first - second` over the same videos, its bootstrap interval, and a two-sided p-value.

    The p-value is that of the paired randomisation test (Fisher 1935): how often a mean is at least as far from 0 where
    each difference could as well have the other sign; of hits and misses that is McNemar's exact test. Up to ten
    differences that are not 0 all signs are tried, else 2,000 draws of them.

    NOTE: where all differences are alike, so are all bootstrap draws. The interval then allows for the largest share of
    other videos of which none would be seen (`bootstrap_interval`): 3 videos without a difference are [-0.71, 0.71].

    Args:
        first: [N], a figure from 0 to 1 of every video (say, hit or miss) in one result.
        second: [N], of the same videos in the other.
        seed: of the resampling.

    Raises:
        RSPNetError: the lengths differ or are 0.
    """
    if len(first) != len(second) or not len(first):
        raise RSPNetError(f"a paired test needs the same videos in both results, not {len(first)} and {len(second)}")
    difference = first.astype(np.float64) - second.astype(np.float64)
    mean = float(difference.mean())
    p_value = _randomisation_p(difference[difference != 0], seed)
    if (difference == difference[0]).all():
        return Interval(mean, *_of_equal(difference, _LEVEL, least=-1, most=1)), p_value
    draws = _resampled_means(difference, numpy_rng("paired bootstrap", seed), _SAMPLES)
    return Interval(mean, *percentile_interval(draws)), p_value


def _randomisation_p(difference: Floats, seed: int) -> float:
    """Two-sided p-value of the sum of differences [n], none of them 0, over their signs."""
    count, total = len(difference), difference.sum()
    exact = 2**count <= _SAMPLES
    if exact:
        kept = np.arange(2**count)[:, None] >> np.arange(count) & 1
        positive = kept @ difference
    else:
        rng = numpy_rng("paired signs", seed)
        positive = np.array([difference[rng.integers(2, size=count) == 1].sum() for _ in range(_SAMPLES)])
    as_far = int((abs(2 * positive - total) >= abs(total) - 1e-9).sum())
    return as_far / len(positive) if exact else (as_far + 1) / (_SAMPLES + 1)
