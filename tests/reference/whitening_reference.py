"""A slow twin of the whitened comparison: by inverse matrices instead of principal directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cosines(gallery: Floats, queries: Floats, *, prior: float = 10.0) -> Floats:
    """Cosines [Q, N] under the metric (n C + prior D I)^-1 of what the gallery spans.

    C are the correlations of the gallery's numbers, n how many vectors it has, at most 1000.
    """
    metric, first, second = _metric(gallery, queries, prior)
    found = np.empty((len(second), len(first)))
    for row, one in enumerate(second):
        for column, other in enumerate(first):
            found[row, column] = one @ metric @ other / np.sqrt((one @ metric @ one) * (other @ metric @ other))
    return found


def rooted(gallery: Floats, queries: Floats, *, prior: float = 10.0) -> tuple[Floats, Floats]:
    """Both as vectors whose plain cosines are `cosines`: times a root of the metric."""
    metric, first, second = _metric(gallery, queries, prior)
    root = np.linalg.cholesky(metric + 1e-15 * np.eye(len(metric)))
    return first @ root, second @ root


def _metric(gallery: Floats, queries: Floats, prior: float) -> tuple[Floats, Floats, Floats]:
    columns = gallery.shape[1]
    middle = gallery.astype(np.float64).sum(axis=0) / len(gallery)
    spread = np.sqrt(((gallery - middle) ** 2).sum(axis=0) / len(gallery))
    spread[spread == 0] = 1.0
    first, second = (gallery - middle) / spread, (queries - middle) / spread
    spanned = np.linalg.pinv(first, rcond=1e-9) @ first
    correlations = np.einsum("ni,nj->ij", first, first) / len(first)
    metric = spanned @ np.linalg.inv(min(len(first), 1000) * correlations + prior * columns * np.eye(columns)) @ spanned
    return metric, first, second
