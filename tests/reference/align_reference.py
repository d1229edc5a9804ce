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
