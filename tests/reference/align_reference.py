"""The best local alignment by trying every run."""

from __future__ import annotations

import numpy as np


def best_run(similarity: np.ndarray) -> float:
    """Greatest sum over all runs (i, i + offset), ..., divided by the number of query windows."""
    num_query, num_video = similarity.shape
    best = -np.inf
    for first in range(num_query):
        for place in range(num_video):
            for length in range(1, min(num_query - first, num_video - place) + 1):
                total = sum(similarity[first + step, place + step] for step in range(length))
                best = max(best, total)
    return best / num_query


def several(like: list, unlike: list, video: np.ndarray, *, alpha: float) -> float:
    """Score of a video whose windows are all there, for queries (motion, appearance) and windows [v, 2, D].

    Every query of `like` names its best run by trying all; the others are aligned within the windows of that run.
    """

    def similarity(query, windows):
        motion, appearance = (query[head].astype(float) @ windows[:, head].astype(float).T for head in (0, 1))
        return alpha * motion + (1 - alpha) * appearance

    def within(query, windows):
        table = similarity(query, windows)
        return best_run(table) * len(table) / min(table.shape)

    scores = []
    for number, query in enumerate(like):
        table = similarity(query, video)
        runs = {
            (first, place, place + length): sum(table[first + step, place + step] for step in range(length))
            for first in range(table.shape[0])
            for place in range(table.shape[1])
            for length in range(1, min(table.shape[0] - first, table.shape[1] - place) + 1)
        }
        (_, start, stop), total = max(runs.items(), key=lambda item: item[1])
        own = [total / len(table), *(within(other, video[start:stop]) for n, other in enumerate(like) if n != number)]
        lowered = [within(other, video[start:stop]) for other in unlike]
        scores.append(np.mean(own) - (np.mean(lowered) if lowered else 0))
    return max(scores)
