"""Logistic regression as a map of the vectors as they are, for one strength of regularisation after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rspnet.features.linear_probe import DEFAULT_STRENGTH, fitting, logistic

Floats = NDArray[np.float64]
_FEW = 3
"""Turning rows into their own space pays where there are so many times as many numbers in a row."""
_ROUGH_STEPS = 30
_SURE = 10.0
"""The logit of what all rows are."""


class LinearMaps:
    """Logistic regressions of the same rows; each starts from the weights of the one before it.

    Args:
        x: [n, D].
        holds: bool [n, C], which classes each row is of.
        exclusive: one regression over all classes (softmax), or one a class (sigmoid).
        rough: for maps that are only compared: single precision, and fits end after 30 steps, or where no slope of the
            mean loss is steeper than 1e-3 instead of 1e-4.
    """

    def __init__(self, x: Floats, holds: NDArray[np.bool_], *, exclusive: bool, rough: bool = False) -> None:
        self._mean, self._scale = x.mean(axis=0), x.std(axis=0)
        self._scale[self._scale < 1e-12] = 1.0
        z = ((x - self._mean) / self._scale).astype(np.float32 if rough else np.float64)
        # The penalty knows no directions: fitted in the rows' own space, the map is the same and costs less.
        self._z: NDArray[np.floating] = z
        self._axes: NDArray[np.floating] | None = None
        if _FEW * len(z) < z.shape[1]:
            self._z, self._axes = _turned(z)
        self._count, self._exclusive = holds.shape[1], exclusive
        self._targets = [holds.argmax(axis=1)] if exclusive else list(holds.T)
        how = {"warm_start": True} | ({"tol": 1e-3, "max_iter": _ROUGH_STEPS} if rough else {})
        self._regressions = [logistic(DEFAULT_STRENGTH).set_params(**how) for _ in self._targets]

    def at(self, strength: float) -> tuple[Floats, Floats]:
        """The map to logits with this inverse regularisation (of standardised vectors): weights [C, D] and bias [C]."""
        weights, bias = np.zeros((self._count, self._z.shape[1])), np.full(self._count, -_SURE)
        with fitting():
            for number, (target, regression) in enumerate(zip(self._targets, self._regressions, strict=True)):
                known = np.unique(target)
                rows = known if self._exclusive else [number]
                if len(known) < 2:
                    bias[rows] = _SURE if self._exclusive or known[0] else -_SURE
                    continue
                regression.set_params(C=strength).fit(self._z, target)
                coefficients, intercepts = regression.coef_, regression.intercept_
                if self._exclusive and len(known) == 2:
                    coefficients, intercepts = (
                        np.concatenate([-part, part]) / 2 for part in (coefficients, intercepts)
                    )
                weights[rows], bias[rows] = coefficients, intercepts
        weights = (weights if self._axes is None else weights @ self._axes) / self._scale
        return weights, bias - weights @ self._mean


def _turned(z: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Rows [n, D], n < D, as coordinates [n, n] on orthonormal axes [n, D]."""
    axes, coordinates = np.linalg.qr(z.T)
    return np.ascontiguousarray(coordinates.T), axes.T
