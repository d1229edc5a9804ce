"""Shares of right answers with their intervals, and paired tests of two answerers. Needs SciPy (extra `probe`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A share with its 95 % Wilson interval.

    Attributes:
        value: right answers / decided ones; 0.5 where none is decided.
        low, high: the interval; 0 and 1 where none is decided.
        decided: questions that are no tie.
        ties: questions whose two candidates are exactly equal.
    """

    value: float
    low: float
    high: float
    decided: int
    ties: int


def share_of(hits: Hits) -> Share:
    """The share of 1 among 1 (right) and 0 (wrong); 0.5 is a tie and left out: [N]."""
    from scipy.stats import binomtest

    decided = hits[hits != 0.5]
    ties = len(hits) - len(decided)
    if not len(decided):
        return Share(0.5, 0.0, 1.0, 0, ties)
    right = int(decided.sum())
    interval = binomtest(right, len(decided)).proportion_ci(method="wilson")
    return Share(right / len(decided), float(interval.low), float(interval.high), len(decided), ties)


def better_p_value(first: Hits, second: Hits) -> float:
    """One-sided exact McNemar test on paired answers [N]: how likely `first` leads by this much if it is no better."""
    from scipy.stats import binomtest

    lead, lag = int((first > second).sum()), int((first < second).sum())
    return float(binomtest(lead, lead + lag, alternative="greater").pvalue) if lead + lag else 1.0
