from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.align_reference import best_run

from rspnet.search.align import best_alignment


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32))
def test_the_score_is_that_of_trying_every_run(num_query, num_video, seed):
    similarity = np.random.default_rng(seed).uniform(-1, 1, (num_query, num_video))
    found = best_alignment(similarity)
    assert found.score == pytest.approx(best_run(similarity), abs=1e-12)
    rows, columns = (np.arange(first, last + 1) for first, last in (found.query, found.video))
    assert similarity[rows, columns].sum() / num_query == pytest.approx(found.score, abs=1e-12)
    assert -0.5 <= found.drift <= 0.5


def test_a_run_ends_where_the_likeness_ends():
    similarity = np.full((4, 10), -0.2)
    similarity[[1, 2], [6, 7]] = 0.9  # windows 1 and 2 of the query play at 6 and 7
    found = best_alignment(similarity)
    assert (found.query, found.video) == ((1, 2), (6, 7))
    assert found.score == pytest.approx(1.8 / 4)


def test_a_query_that_hangs_over_the_videos_end_is_found():
    similarity = np.full((3, 4), 0.1)
    similarity[[0, 1], [2, 3]] = 1.0
    found = best_alignment(similarity)
    assert (found.query, found.video) == ((0, 1), (2, 3))


@pytest.mark.parametrize("true_place", [3.0, 3.3, 3.5, 2.75])
def test_drift_tells_a_place_between_two_windows(true_place):
    place = np.arange(8.0)
    similarity = np.stack([1 - 0.1 * (place - true_place - i) ** 2 for i in range(2)])
    found = best_alignment(similarity)
    assert found.video[0] + found.drift == pytest.approx(true_place, abs=1e-9)
