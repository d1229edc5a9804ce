"""Descriptors of videos number by number, in plain Python."""

from __future__ import annotations

import math


def described(clips: list[list[float]], descriptor: str) -> list[float]:
    """Means of the columns, their standard deviations (divided by n), and how much they change from row to row.

    Where all three are there, each is divided by the root of its length.
    """
    n = len(clips)
    means = [sum(column) / n for column in zip(*clips, strict=True)]
    if descriptor == "mean":
        return means
    columns = list(zip(*clips, strict=True))
    spreads = [
        math.sqrt(sum((value - mean) ** 2 for value in column) / n) for column, mean in zip(columns, means, strict=True)
    ]
    if descriptor == "mean_std":
        return means + spreads
    changes = [
        math.sqrt(sum((column[k + 1] - column[k]) ** 2 for k in range(n - 1)) / (n - 1)) if n > 1 else 0.0
        for column in columns
    ]
    parts = []
    for part in (means, spreads, changes):
        length = math.sqrt(sum(value * value for value in part))
        parts += [value / math.sqrt(length) if length else 0.0 for value in part]
    return parts


def standardised(gallery: list[list[float]], queries: list[list[float]]) -> tuple[list[list[float]], ...]:
    """Both with the gallery's mean taken off every column and divided by its deviation."""
    both = described(gallery, "mean_std")
    means, spreads = both[: len(both) // 2], both[len(both) // 2 :]
    return tuple(
        [[(v - m) / s for v, m, s in zip(row, means, spreads, strict=True)] for row in part]
        for part in (gallery, queries)
    )
