"""Logistic regression as a map of the vectors as they are: of several parts of the same rows at once.

A fit to rows Z (standardised vectors [n, D]) has weights Z^T A, so products with Z Z^T [n, n] are all it takes; such a
matrix serves all folds of a cross-validation and all strengths. The fits go on by nonlinear conjugate gradients
(Polak and Ribiere's with restarts; Nocedal and Wright, Numerical Optimization, 2006, section 5.2), whose line search
needs no further product. scikit-learn gives the same maps (tested), one at a time and several times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Singles = NDArray[np.floating]
"""float32, as far as type checkers can tell."""
_SURE = 10.0
"""The logit of what all rows are."""
_BIAS = 0.05
"""The bias is a number of every row whose square is this share of the row's: it decides how fast the fit ends only."""
_MOST_STEPS, _LINE_STEPS, _TINY = 500, 2, 1e-30
_MOST_AT_ONCE = 50_000_000
"""Maps are fitted together up to so many logits (0.2 GB, of which a fit holds about 20 times as much)."""


@dataclass(frozen=True)
class Fits:
    """Linear maps, each fitted to a part of the same rows.

    Attributes:
        dual: [n, F, C], weights as sums of rows.
        logits: of all rows by each map [n, F, C], without the bias.
        bias: [F, C]; of classes that the rows do not tell apart it is +-10.
    """

    dual: _Singles
    logits: _Singles
    bias: _Singles

    def parts(self) -> tuple[_Singles, _Singles, _Singles]:
        """In the order above."""
        return self.dual, self.logits, self.bias

    def map(self, number: int) -> Fits:
        """One of the maps."""
        return Fits(*(part[..., number : number + 1, :] for part in self.parts()))


class LinearMaps:
    """Logistic regressions of the same rows, in single precision.

    Args:
        x: [n, D].
        holds: bool [n, C], which classes each row is of.
        exclusive: one regression over all classes (softmax), or one a class (sigmoid).
    """

    def __init__(self, x: Floats, holds: NDArray[np.bool_], *, exclusive: bool) -> None:
        self._mean, self._scale = x.mean(axis=0), x.std(axis=0)
        self._scale[self._scale < 1e-12] = 1.0
        self._z = ((x - self._mean) / self._scale).astype(np.float32)
        self._gram = self._z @ self._z.T if len(x) <= 2 * x.shape[1] else None
        self._loss = _Loss(holds, exclusive)
        self._bias_size = np.float32(_BIAS * np.square(self._z).sum() / max(1, len(x)) + _TINY)

    def fit(
        self, strength: float, rows: NDArray[np.bool_], *, start: Fits | None = None, tolerance: float = 1e-4
    ) -> Fits:
        """The maps with this inverse regularisation (of standardised vectors), as scikit-learn defines it.

        Args:
            strength: C.
            rows: bool [F, n], to which rows each map is fitted.
            start: fits to begin with.
            tolerance: the fit ends where the gradient of the mean loss has this length.
        """
        if len(rows) > 1 and rows.size * self._loss.holds.shape[1] > _MOST_AT_ONCE:
            starts = [None if start is None else start.map(number) for number in range(len(rows))]
            found = (
                self.fit(strength, own[None], start=first, tolerance=tolerance)
                for own, first in zip(rows, starts, strict=True)
            )
            parts = zip(*(fit.parts() for fit in found), strict=True)
            return Fits(*(np.concatenate(part, axis=-2) for part in parts))
        exclusive = self._loss.exclusive
        known = rows.astype(np.int64) @ self._loss.holds
        count = rows.sum(axis=1, keepdims=True)
        classes = (known > 0).sum(axis=1, keepdims=True)
        learnt = (known > 0) & (classes > 1) if exclusive else (known > 0) & (known < count)
        # Of two classes scikit-learn fits one vector w; here they have w / 2 and -w / 2, of half its penalty together.
        penalty = np.where(exclusive & (classes == 2), 2.0, 1.0).astype(np.float32) / np.float32(strength)
        taken = rows.T[:, :, None] & learnt
        problem = _Problem(self._products, self._loss, self._bias_size, taken, learnt, penalty)
        fits = problem.solve(start, tolerance * count)
        fixed = np.where(known > 0, _SURE, -_SURE).astype(np.float32)
        return replace(fits, bias=np.where(learnt, fits.bias, fixed))

    def of_vectors(self, fits: Fits, number: int) -> tuple[Floats, Floats]:
        """One of the maps for vectors as they are: weights [C, D] and bias [C]."""
        weights = (fits.dual[:, number].T @ self._z).astype(np.float64) / self._scale
        return weights, fits.bias[number] - weights @ self._mean

    def _products(self, dual: _Singles) -> _Singles:
        """Z Z^T times [n, F, C]."""
        flat = dual.reshape(len(dual), -1)
        found = self._z @ (self._z.T @ flat) if self._gram is None else self._gram @ flat
        return np.asarray(found.reshape(dual.shape))


@dataclass(frozen=True)
class _Loss:
    """Of rows that hold classes, bool [n, C]: a softmax's where these exclude each other, else a sigmoid's each."""

    holds: NDArray[np.bool_]
    exclusive: bool

    def chances(self, logits: _Singles, learnt: NDArray[np.bool_]) -> _Singles:
        """Of all rows [n, F, C]; of classes that exclude each other only those that are learnt have one."""
        if not self.exclusive:
            return 0.5 * (1 + np.tanh(logits / 2))
        logits = np.where(learnt, logits, np.float32(-1e30))
        powers = np.exp(logits - logits.max(axis=2, keepdims=True))
        return np.asarray(powers / powers.sum(axis=2, keepdims=True))

    def curvature(self, chances: _Singles, change: _Singles) -> _Singles:
        """The second derivative along a change of the logits, of every row and class: [n, F, C]."""
        if not self.exclusive:
            return chances * (1 - chances) * np.square(change)
        return np.asarray(chances * change * (change - (chances * change).sum(axis=2, keepdims=True)))

    def total(self, values: _Singles) -> _Singles:
        """Sums over rows [n, F, C], or sums [F, C]: [F, 1] where classes are fitted together, else [F, C]."""
        sums = values.sum(axis=0) if values.ndim == 3 else values
        return np.asarray(sums.sum(axis=1, keepdims=True) if self.exclusive else sums)


class _Step(NamedTuple):
    dual: _Singles
    logits: _Singles
    bias: _Singles


@dataclass(frozen=True)
class _Problem:
    """F maps at once: for each the sum of the losses of some rows, and penalty / 2 times the squared weights."""

    products: Callable[[_Singles], _Singles]
    loss: _Loss
    bias_size: np.float32
    rows: NDArray[np.bool_]  # [n, F, C]
    learnt: NDArray[np.bool_]  # [F, C]
    penalty: _Singles  # [F, 1]

    def solve(self, start: Fits | None, tolerance: NDArray[np.floating]) -> Fits:
        """From `start` to a gradient of a length below `tolerance` [F, 1]."""
        total, size = self.loss.total, self.bias_size
        dual = np.zeros(self.rows.shape, np.float32) if start is None else start.dual * self.rows
        logits = np.zeros_like(dual) if start is None else self.products(dual)
        bias = np.zeros(self.learnt.shape, np.float32) if start is None else start.bias * self.learnt
        last: tuple[_Step, _Step, _Singles] | None = None
        for _ in range(_MOST_STEPS):
            chances = self.loss.chances(logits + bias, self.learnt)
            residuals = (chances - self.loss.holds[:, None]) * self.rows
            down = -residuals - self.penalty * dual
            step = steepest = _Step(down, self.products(down), -size * residuals.sum(axis=0))
            length = total(down * steepest.logits) + total(np.square(steepest.bias)) / size
            if (length <= np.square(tolerance)).all():
                break
            if last is not None:
                before, steepest_before, length_before = last
                common = total(steepest_before.dual * steepest.logits)
                common += total(steepest_before.bias * steepest.bias) / size
                keep = np.maximum(0, length - common) / np.maximum(length_before, _TINY)
                step = _Step(*(new + keep * old for new, old in zip(steepest, before, strict=True)))
            last = step, steepest, length
            far = self._distance(logits + bias, chances, dual, step)
            dual, logits, bias = (old + far * new for old, new in zip((dual, logits, bias), step, strict=True))
        return Fits(dual, logits, bias)

    def _distance(self, logits: _Singles, chances: _Singles, dual: _Singles, step: _Step) -> _Singles:
        """How far to go along a step, [F, 1] or [F, C]: Newton's method in one number, between too near and too far."""
        total, change = self.loss.total, (step.logits + step.bias) * self.rows
        linear, square = total(dual * step.logits), total(step.dual * step.logits)
        far, near, beyond = np.zeros_like(square), np.zeros_like(square), np.full_like(square, np.inf)
        for turn in range(_LINE_STEPS):
            if turn:
                chances = self.loss.chances(logits + far * change, self.learnt)
            slope = total((chances - self.loss.holds[:, None]) * change) + self.penalty * (linear + far * square)
            bend = total(self.loss.curvature(chances, change)) + self.penalty * square
            near, beyond = np.where(slope < 0, far, near), np.where(slope >= 0, far, beyond)
            ahead = far - slope / np.maximum(bend, _TINY)
            far = np.where((ahead < near) | (ahead > beyond), (near + beyond) / 2, ahead)
        return np.where(np.isfinite(far), far, 0).astype(np.float32)
