"""Shares, their intervals and the paired test, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.extras import need

from rspnet.lab.disentangle.binomial import better_p_value, share_of

need("scipy")


def test_share_leaves_ties_out_and_has_wilsons_interval() -> None:
    share = share_of(np.array([1.0] * 8 + [0.0] * 2 + [0.5] * 3))
    assert (share.value, share.decided, share.ties) == (0.8, 10, 3)
    # Wilson, z = 1.96: (0.8 + z²/20 -+ z sqrt(0.8 * 0.2 / 10 + z² / 400)) / (1 + z²/10)
    z = 1.959964
    half = z * (0.016 + z * z / 400) ** 0.5
    expected = [(0.8 + z * z / 20 + sign * half) / (1 + z * z / 10) for sign in (-1, 1)]
    assert [share.low, share.high] == pytest.approx(expected, abs=1e-6)


def test_nothing_decided_says_nothing() -> None:
    share = share_of(np.full(4, 0.5))
    assert (share.value, share.low, share.high, share.decided) == (0.5, 0.0, 1.0, 0)


def test_paired_p_value_counts_only_where_they_differ() -> None:
    first = np.array([1.0, 1, 1, 1, 1, 1, 0])
    second = np.array([0.0, 0, 0, 0, 0, 1, 0])
    assert better_p_value(first, second) == pytest.approx(1 / 32)
    assert better_p_value(second, first) == pytest.approx(1.0)
    assert better_p_value(first, first) == 1.0
