"""Slow NumPy twins of rspnet.features.neighbours: one loop a formula, nothing shared with the fast code."""

from __future__ import annotations

import numpy as np


def cosine_matrix(query, gallery):
    """float32 cosines, as the fast code has them, by one dot product at a time."""
    matrix = np.zeros((len(query), len(gallery)), np.float64)
    for i, q in enumerate(np.asarray(query, np.float64)):
        for j, g in enumerate(np.asarray(gallery, np.float64)):
            length = np.sqrt((q * q).sum()) * np.sqrt((g * g).sum())
            matrix[i, j] = (q * g).sum() / length if length else 0.0
    return matrix


def ranking(scores):
    """Gallery items of one query by falling score, the lowest index first among equals."""
    return sorted(range(len(scores)), key=lambda j: (-scores[j], j))


def recall(scores, query_labels, gallery_labels, k):
    hits = 0
    for i in range(len(scores)):
        hits += any(gallery_labels[j] == query_labels[i] for j in ranking(scores[i])[:k])
    return hits / len(scores)


def average_precision(scores, query_label, gallery_labels):
    found, total = 0, 0.0
    for place, j in enumerate(ranking(scores), start=1):
        if gallery_labels[j] == query_label:
            found += 1
            total += found / place
    return total / found if found else float("nan")
