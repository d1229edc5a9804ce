"""Means with intervals over seeds, and paired tests of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rspnet.features.scores import Interval, paired_difference


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its 95 % Student t interval; of one seed there is no interval (`low` and `high` None)."""

    value: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Comparison:
    """One run minus another.

    Attributes:
        over_seeds: mean and t interval of the differences of equal seeds.
        p_seeds: two-sided paired t-test over seeds; None with one seed, or with equal differences, which are no test.
        over_videos: mean and bootstrap interval over test videos of the seeds' mean hits; None where videos differ.
        p_videos: two-sided paired randomisation test over test videos.
    """

    over_seeds: Mean
    p_seeds: float | None
    over_videos: Interval | None
    p_videos: float | None


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and 95 % interval by Student's t over seeds."""
    from scipy.stats import t

    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Mean(mean, None, None, count)
    half = float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return Mean(mean, mean - half, mean + half, count)


def paired_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of a paired t-test; None with fewer than two pairs, or where all differ by the same."""
    from scipy.stats import t

    count = len(differences)
    if count < 2:
        return None
    deviation = float(np.std(differences, ddof=1))
    if deviation == 0:
        return 1.0 if np.mean(differences) == 0 else None
    return float(2 * t.sf(abs(np.mean(differences)) / (deviation / np.sqrt(count)), count - 1))


def compare_runs(
    scores: dict[int, float], reference: dict[int, float], hits: dict[int, str], reference_hits: dict[int, str]
) -> Comparison | None:
    """A run minus the reference, over the seeds that both have; None where they share none.

    Args:
        scores: seed -> score of the run.
        reference: the same of the reference.
        hits: seed -> right ("1") or wrong ("0") for every test video; may be empty.
        reference_hits: the same of the reference.
    """
    seeds = sorted(set(scores) & set(reference))
    if not seeds:
        return None
    differences = [scores[seed] - reference[seed] for seed in seeds]
    videos, p_videos = None, None
    both = [seed for seed in seeds if seed in hits and seed in reference_hits]
    if both:
        first, second = (_mean_hits([side[seed] for seed in both]) for side in (hits, reference_hits))
        videos, p_videos = paired_difference(first, second, seed=0)
    return Comparison(mean_of(differences), paired_p(differences), videos, p_videos)


def _mean_hits(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.asarray(np.array([[letter == "1" for letter in text] for text in texts], np.float64).mean(axis=0))
