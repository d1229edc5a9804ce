"""Descriptors of videos number by number, in plain Python."""

from __future__ import annotations

import math


def described(clips: list[list[float]], descriptor: str) -> list[float]:
    """Means of the columns; for "mean_std" followed by their standard deviations (divided by n)."""
    n = len(clips)
    means = [sum(column) / n for column in zip(*clips, strict=True)]
    if descriptor == "mean":
        return means
    columns = zip(zip(*clips, strict=True), means, strict=True)
    return means + [math.sqrt(sum((value - mean) ** 2 for value in column) / n) for column, mean in columns]


def standardised(gallery: list[list[float]], queries: list[list[float]]) -> tuple[list[list[float]], ...]:
    """Both with the gallery's mean taken off every column and divided by its deviation."""
    both = described(gallery, "mean_std")
    means, spreads = both[: len(both) // 2], both[len(both) // 2 :]
    return tuple(
        [[(v - m) / s for v, m, s in zip(row, means, spreads, strict=True)] for row in part]
        for part in (gallery, queries)
    )
