"""A library's videos as points in the plane."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import ConfigError

Method = Literal["PCA", "UMAP"]
_FEWEST_FOR_UMAP = 5


@dataclass(frozen=True)
class MapLayout:
    """Points [N, 2] in 0..1, and the share of the variance that each axis holds (PCA only)."""

    points: NDArray[np.float64]
    explained: tuple[float, float] | None


def methods() -> tuple[Method, ...]:
    """What can be drawn here: PCA, and UMAP where umap-learn is installed."""
    return ("PCA", "UMAP") if importlib.util.find_spec("umap") else ("PCA",)


def lay_out(vectors: NDArray[np.float32], method: Method) -> MapLayout:
    """Points for vectors [N, D]; equal vectors give equal maps from run to run.

    Raises:
        ConfigError: UMAP is not installed.
    """
    if method == "UMAP" and len(vectors) >= _FEWEST_FOR_UMAP:
        return MapLayout(_to_unit(_umap(vectors)), None)
    points, explained = _pca(vectors.astype(np.float64))
    return MapLayout(_to_unit(points), explained)


def _pca(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The two directions of greatest variance, each signed so that its largest weight is positive."""
    centred = vectors - vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    shares = variances[:-3:-1] / max(float(variances.sum()), 1e-12)
    return centred @ axes, (float(shares[0]), float(shares[1]))


def _umap(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    try:
        import umap
    except ModuleNotFoundError as error:
        raise ConfigError("UMAP needs umap-learn: pip install umap-learn, or use PCA") from error
    neighbours = min(15, len(vectors) - 1)
    model = umap.UMAP(n_components=2, n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1)
    return np.asarray(model.fit_transform(vectors), np.float64)


def _to_unit(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scaled to fill 0..1 in both directions."""
    low = points.min(axis=0)
    span = points.max(axis=0) - low
    return np.asarray((points - low) / np.where(span > 0, span, 1.0), np.float64)
