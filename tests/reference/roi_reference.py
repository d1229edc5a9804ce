"""A pairwise similarity map by plain loops."""

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
