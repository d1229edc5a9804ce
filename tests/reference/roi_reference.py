"""Pairwise similarity maps by plain loops."""

from __future__ import annotations

import numpy as np


def roi_map(weight: np.ndarray, own: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """M[t, y, x] = sum_d (W x_partner)[d] (W F_own[:, t, y, x])[d]; weight [D, C], maps [C, T, H, W]."""
    pooled = np.array([channel.sum() / channel.size for channel in partner])
    projected = [sum(w * x for w, x in zip(row, pooled, strict=True)) for row in weight]
    result = np.zeros(own.shape[1:])
    for place in np.ndindex(result.shape):
        local = own[(slice(None), *place)]
        result[place] = sum(p * sum(row * local) for p, row in zip(projected, weight, strict=True))
    return result


def crop_map(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """M[i] = max_j d_i . e_j less its mean over i; d = (x - m) / (|x - m| + t), m the mean of the clip's own crops."""
    apart = [[x - sum(vectors) / len(vectors) for x in vectors] for vectors in (own, other)]
    lengths = sorted(float(np.sqrt(sum(d * d))) for clip in apart for d in clip)
    middle = lengths[(len(lengths) - 1) // 2]
    mine, theirs = ([d / (float(np.sqrt(sum(d * d))) + middle) for d in clip] for clip in apart)
    best = [max(sum(a * b) for b in theirs) for a in mine]
    return np.array([value - sum(best) / len(best) for value in best])
