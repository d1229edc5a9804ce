"""What to label next, on hand-made probabilities and sketches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rspnet.features.read import StoredVideo
from rspnet.features.store import Stamp
from rspnet.features.timeline import Rule
from rspnet.features.window_classifier import WindowClassifier
from rspnet.search.label_log import Labels, part
from rspnet.search.next_labels import doubt, next_to_label


def classifier(*, exclusive=True):
    stamp = Stamp("0", {}, {"features": 1})
    rules = (Rule(), Rule())
    return WindowClassifier(("a", "b"), exclusive, np.zeros((2, 1)), np.zeros(2), rules, ("features",), stamp)


def test_doubt_by_hand():
    chances = np.array([[0.5, 0.5], [0.9, 0.1], [0.7, 0.3]])
    np.testing.assert_allclose(doubt(chances, exclusive=True), [1, 0.2, 0.6])
    np.testing.assert_allclose(doubt(np.array([[0.5, 0.0], [0.9, 0.8]]), exclusive=False), [1, 0.4])


def test_least_sure_and_unlike_in_turn_and_nothing_that_touches_a_label():
    start = np.arange(10.0)
    first = np.array([0.99, 0.5, 0.99, 0.99, 0.6, 0.99, 0.99, 0.99, 0.99, 0.99])
    video = StoredVideo("v", "v", 10.0, start, start + 1, np.stack([first, 1 - first], axis=1))
    sketch = np.zeros((10, 32), np.float32)
    sketch[8, 0], sketch[6, 1] = 5, 3  # window 8 is unlike all others, then 6
    labels = Labels((part("v", "a", 0, 1),), ("a", "b"))
    hits = next_to_label([video], {"v": sketch}, classifier(), labels, k=4)
    assert [hit.start_s for hit in hits] == [1, 8, 4, 6]
    assert [hit.label for hit in hits] == ["a"] * 4
    every = next_to_label([video], {"v": sketch}, classifier(), labels, k=50)
    assert sorted(hit.start_s for hit in every) == list(range(1, 10))
    blocked = Labels((part("v", "a", 0, 2), part("v", "b", 7.5, 9)), ("a", "b"))
    assert {hit.start_s for hit in next_to_label([video], {"v": sketch}, classifier(), blocked, k=50)} == {
        2,
        3,
        4,
        5,
        6,
        9,
    }
    assert next_to_label([], {}, classifier(), labels, k=3) == []


@pytest.mark.parametrize("exclusive", [True, False])
def test_no_two_chosen_windows_overlap(exclusive):
    start = np.arange(40) * 0.5
    chances = np.random.default_rng(0).uniform(size=(40, 2))
    video = StoredVideo("v", "v", 10.0, start, start + 2, chances)
    sketch = np.random.default_rng(1).standard_normal((40, 32)).astype(np.float32)
    hits = next_to_label([video], {"v": sketch}, classifier(exclusive=exclusive), Labels(), k=6)
    spans = sorted((hit.start_s, hit.end_s) for hit in hits)
    assert len(spans) == 6
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
