"""Logits that say how often they are right: their slope and shift, fitted to answers about held-out data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_loss(logits: Floats, holds: NDArray[np.bool_], *, exclusive: bool) -> float:
    """Mean negative log-likelihood of what holds [n, C] under logits [n, C]."""
    if exclusive:
        top = logits.max(axis=1, keepdims=True)
        sums = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        return float((sums - logits[np.arange(len(logits)), holds.argmax(axis=1)]).mean())
    return float(np.logaddexp(0, np.where(holds, -logits, logits)).mean())


def calibrate(logits: Floats, holds: NDArray[np.bool_], *, exclusive: bool, most: float = 2.0) -> tuple[Floats, Floats]:
    """The slope and shift [C] of held-out logits with the least log loss; the former at most e^`most` where exclusive.

    Where all held-out answers are right, a steeper slope always fits better: the bound keeps few labels from certainty.

    One temperature for all classes where they exclude each other (Guo et al., On Calibration of Modern Neural Networks,
    ICML 2017), else Platt's slope and shift for each, with his targets, which keep few labels from certainty (Platt,
    Probabilistic Outputs for Support Vector Machines, 1999).
    """
    from scipy.optimize import minimize, minimize_scalar

    count = logits.shape[1]
    if exclusive:
        found = minimize_scalar(
            lambda power: log_loss(logits * np.exp(power), holds, exclusive=True), bounds=(-4, most), method="bounded"
        )
        return np.full(count, float(np.exp(found.x))), np.zeros(count)
    slope, shift = np.ones(count), np.zeros(count)
    for number in range(count):
        own = holds[:, number]
        target = np.where(own, (own.sum() + 1) / (own.sum() + 2), 1 / ((~own).sum() + 2))
        best = minimize(_platt_loss, np.zeros(2), args=(logits[:, number], target), method="L-BFGS-B")
        slope[number], shift[number] = np.exp(np.clip(best.x[0], -5, 5)), best.x[1]
    return slope, shift


def _platt_loss(parameters: Floats, logits: Floats, target: Floats) -> float:
    moved = np.exp(np.clip(parameters[0], -5, 5)) * logits + parameters[1]
    return float((target * np.logaddexp(0, -moved) + (1 - target) * np.logaddexp(0, moved)).mean())
