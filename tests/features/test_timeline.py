from __future__ import annotations

import itertools

import numpy as np
import pytest
from reference.timeline_reference import counts_by_ticks, edit_by_recursion, events_by_clock

from rspnet.features.timeline import Event, Rule, cells, events_of, timeline
from rspnet.features.timeline_scores import Counts, average_precision, edit_score, interval_over_groups, segment_counts


def test_cells_of_steady_windows_share_the_video_out():
    starts, ends = cells(np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0, 4.5]))
    assert starts.tolist() == [0.0, 1.5, 2.5, 3.375]
    assert ends.tolist() == [1.5, 2.5, 3.375, 4.5]


def test_a_pause_belongs_to_no_window():
    starts, ends = cells(np.array([0.0, 60.0]), np.array([2.0, 62.0]))
    assert (starts.tolist(), ends.tolist()) == ([0.0, 60.0], [2.0, 62.0])


def random_cells(rng):
    """Stretches in whole hundredths of a second, some apart."""
    lengths = rng.integers(20, 150, 30) / 100
    gaps = np.where(rng.random(30) < 0.2, rng.integers(1, 300, 30) / 100, 0.0)
    ends = np.cumsum(lengths + gaps)
    return ends - lengths, ends, rng.integers(0, 11, 30) / 10


@pytest.mark.parametrize("seed", range(20))
def test_events_are_those_of_the_clock(seed):
    rng = np.random.default_rng(seed)
    starts, ends, chances = random_cells(rng)
    high = rng.integers(3, 10) / 10
    rule = Rule(high, high * rng.choice([0.5, 1.0]), rng.choice([0.0, 0.5, 2.0]), rng.choice([0.0, 1.0, 2.5]))
    found = events_of("a", starts, ends, chances, rule)
    slow = events_by_clock(starts, ends, chances, rule)
    assert len(found) == len(slow)
    np.testing.assert_allclose(np.reshape([e[1:3] for e in found], (-1, 2)), np.reshape(slow, (-1, 2)), atol=1e-6)


def test_hysteresis_carries_an_event_through_a_dip_and_the_probability_is_the_mean():
    starts, ends = np.arange(6.0), np.arange(1.0, 7.0)
    chances = np.array([0.0, 0.9, 0.5, 0.9, 0.0, 0.5])
    (event,) = events_of("a", starts, ends, chances, Rule(high=0.8, low=0.4))
    assert event[:3] == ("a", 1.0, 4.0)
    assert event.probability == pytest.approx(2.3 / 3)


def test_classes_may_overlap_and_come_in_the_order_of_time():
    chances = np.array([[0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
    found = timeline(["b", "a"], np.arange(3.0), np.arange(1.0, 4.0), chances, [Rule(), Rule()])
    assert [event[:3] for event in found] == [("b", 0.0, 2.0), ("a", 1.0, 3.0)]


def random_events(rng, count):
    starts = rng.integers(0, 3000, count) / 100
    lengths = rng.integers(10, 600, count) / 100
    return [Event(str(rng.choice(["a", "b"])), s, s + d) for s, d in zip(starts, lengths, strict=True)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("overlap", [0.1, 0.25, 0.5])
def test_segment_counts_and_edit_are_those_of_the_slow_twins(seed, overlap):
    rng = np.random.default_rng(seed)
    true = random_events(rng, int(rng.integers(0, 9)))
    near = [Event(e.label, e.start_s + 0.3, e.end_s + 0.4) for e in true if rng.random() < 0.6]
    predicted = near + random_events(rng, int(rng.integers(0, 6)))
    assert segment_counts(predicted, true, overlap) == counts_by_ticks(predicted, true, overlap)
    one, other = ("".join(e.label for e in sorted(x, key=lambda e: (*e[1:3], e[0]))) for x in (predicted, true))
    expected = edit_by_recursion(one, other) if one or other else 1.0
    assert edit_score(predicted, true) == pytest.approx(expected)


def test_two_predictions_cannot_share_a_true_segment():
    true = [Event("a", 0, 10)]
    assert segment_counts([Event("a", 0, 6), Event("a", 6, 10)], true, 0.25) == Counts(1, 1, 0)
    assert Counts(1, 1, 0).f1 == pytest.approx(2 / 3)
    assert segment_counts([], [], 0.5).f1 == 0.0


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_is_scikit_learns(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    chances = rng.integers(0, 8, 40) / 8  # with ties
    truth = rng.random(40) < 0.3
    assert average_precision(chances, truth) == pytest.approx(metrics.average_precision_score(truth, chances))
    assert np.isnan(average_precision(chances, np.zeros(40, bool)))


def test_the_interval_draws_whole_groups():
    values = np.array([0.0, 0.0, 1.0, 1.0])

    def mean(places):
        return float(values[places].mean())

    low, high = interval_over_groups(mean, ["a", "a", "b", "b"], seed=0)
    assert (low, high) == (0.0, 1.0)  # one group alone comes in half of all draws
    alone = interval_over_groups(mean, [1, 2, 3, 4], seed=0, samples=4000)
    by_hand = [np.mean(values[list(draw)]) for draw in itertools.product(range(4), repeat=4)]
    np.testing.assert_allclose(alone, np.quantile(by_hand, [0.025, 0.975]), atol=0.01)
    assert np.isnan(interval_over_groups(mean, ["a"] * 4, seed=0)).all()
