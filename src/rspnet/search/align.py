"""Where in a video a query is: the best local alignment of two sequences of windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Alignment:
    """A run of query windows on a run of video windows, one to one.

    Attributes:
        score: sum of the similarities of the aligned pairs, divided by the number of *all* query windows.
        query: first and last aligned query window.
        video: first and last aligned video window.
        drift: fraction of a window step, -0.5..0.5, by which the true place seems to lie later than `video`.
    """

    score: float
    query: tuple[int, int]
    video: tuple[int, int]
    drift: float


def best_alignment(similarity: NDArray[np.float64]) -> Alignment:
    """The run of pairs (i, i + offset) with the greatest sum of similarities, over all offsets, starts and lengths.

    Windows of query and video are equally spaced, so a query that plays in the video lies on a diagonal. A pair that is
    unlike (similarity below zero) costs, so a run ends where the likeness does.

    Args:
        similarity: [q, v], query windows against video windows; q, v >= 1.
    """
    num_query, num_video = similarity.shape
    diagonals = _diagonals(similarity)
    best, start = diagonals[:, 0].copy(), np.zeros(len(diagonals), np.int64)
    running, running_start = best.copy(), start.copy()
    end = start.copy()
    for i in range(1, num_query):  # Kadane's algorithm on all diagonals at once
        fresh = running < 0
        running = np.where(fresh, 0.0, running) + diagonals[:, i]
        running_start = np.where(fresh, i, running_start)
        better = running > best
        best, start, end = (
            np.where(better, new, old) for new, old in ((running, best), (running_start, start), (i, end))
        )
    row = int(np.argmax(best))
    first, last = int(start[row]), int(end[row])
    offset = row - (num_query - 1)
    return Alignment(
        score=float(best[row]) / num_query,
        query=(first, last),
        video=(first + offset, last + offset),
        drift=_drift(diagonals[:, first : last + 1], row, first + offset, last + offset, num_video),
    )


def _diagonals(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """[q + v - 1, q]: row `offset + q - 1` holds similarity[i, i + offset], minus infinity outside the video."""
    num_query, num_video = similarity.shape
    padded = np.full((num_query, num_video + 2 * (num_query - 1)), -np.inf)
    padded[:, num_query - 1 : num_query - 1 + num_video] = similarity
    i = np.arange(num_query)
    return padded[i[None], i[None] + np.arange(num_query + num_video - 1)[:, None]]


def _drift(runs: NDArray[np.float64], row: int, first: int, last: int, num_video: int) -> float:
    """The top of the parabola through the run's similarity here and one step earlier and later."""
    if first < 1 or last >= num_video - 1:
        return 0.0
    before, here, after = (float(runs[row + step].mean()) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
