from __future__ import annotations

import numpy as np
import pytest

from rspnet.core.errors import RSPNetError
from rspnet.features.scores import confusion_matrix, mean_class_accuracy, paired_difference, score_table, top_k_hits

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
LABELS = np.array([1, 1, 2, 2])


@pytest.fixture
def stats():
    return pytest.importorskip("scipy.stats")


def test_hits_by_hand():
    assert top_k_hits(SCORES, LABELS, 1).tolist() == [True, False, True, False]
    assert top_k_hits(SCORES, LABELS, 2).tolist() == [True, True, True, False]
    assert top_k_hits(SCORES, LABELS, 5).all()


def test_hits_equal_a_ranking_loop():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(50, 9)), rng.integers(9, size=50)
    for k in (1, 3, 5):
        expected = [label in sorted(range(9), key=lambda c: -row[c])[:k] for row, label in zip(scores, labels)]  # noqa: B905
        assert top_k_hits(scores, labels, k).tolist() == expected


def test_a_constant_classifier_gets_nothing():
    assert not top_k_hits(np.zeros((4, 10)), np.arange(4), 5).any()


def test_mean_class_accuracy_weighs_classes_alike():
    hits, labels = np.array([True, True, True, False]), np.array([0, 0, 0, 2])
    assert mean_class_accuracy(hits, labels) == 0.5
    table = score_table(SCORES, LABELS, seed=0)
    assert table["mean_class_accuracy"].value == table["top1"].value == 0.5
    assert table["top1"].low < 0.5 < table["top1"].high
    assert table["mean_class_accuracy"].low <= 0.5 <= table["mean_class_accuracy"].high
    assert table == score_table(SCORES, LABELS, seed=0)


def test_of_three_videos_all_wrong_no_figure_is_sure():
    table = score_table(np.eye(3)[[1, 2, 0]], np.arange(3), seed=0)
    assert [table[name].value for name in ("top1", "mean_class_accuracy")] == [0, 0]
    reach = 1 - 0.025 ** (1 / 3)
    assert [table[name].high for name in ("top1", "mean_class_accuracy")] == pytest.approx([reach, reach])
    assert table["top5"].value == 1
    assert table["top5"].low == pytest.approx(1 - reach)


@pytest.mark.slow
def test_an_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(30):
        labels = np.zeros(80, dtype=np.int64)
        right = rng.random(80) < 0.7
        scores = np.stack([np.where(right, 1.0, 0.0), np.where(right, 0.0, 1.0)], axis=1)
        row = score_table(scores, labels, seed=seed)["top1"]
        covered += row.low <= 0.7 <= row.high
    assert covered >= 25


def test_a_class_never_trained_is_named():
    with pytest.raises(RSPNetError, match="class 3 was never trained: the classifier has 3 classes"):
        score_table(SCORES, np.array([0, 1, 2, 3]), seed=0)


def test_confusion_counts():
    counts = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_paired_difference():
    rng = np.random.default_rng(2)
    weak = rng.random(200) < 0.5
    strong = weak | (rng.random(200) < 0.3)
    gain, p = paired_difference(strong, weak, seed=0)
    assert gain.value == pytest.approx(strong.mean() - weak.mean())
    assert 0 < gain.low < gain.value < gain.high
    assert p < 0.01
    loss, same_p = paired_difference(weak, strong, seed=0)
    assert (loss.low, loss.high) == pytest.approx((-gain.high, -gain.low))
    assert same_p == p
    assert paired_difference(weak, weak, seed=0)[1] == 1.0
    with pytest.raises(RSPNetError, match="not 200 and 10"):
        paired_difference(weak, weak[:10], seed=0)


@pytest.mark.parametrize(
    ("lead", "lag", "level"), [(3, 0, 40), (0, 3, 0), (6, 2, 5), (7, 3, 1), (25, 11, 60), (0, 0, 4)]
)
def test_p_of_hits_is_that_of_the_exact_mcnemar_test(stats, lead, lag, level):
    first = np.array([1] * lead + [0] * lag + [1] * level)
    second = np.array([0] * lead + [1] * lag + [1] * level)
    _, p = paired_difference(first, second, seed=0)
    twin = stats.binomtest(lead, lead + lag).pvalue if lead + lag else 1.0
    assert p == pytest.approx(twin, abs=1e-12 if lead + lag <= 10 else 0.015)


def test_p_of_means_over_seeds_is_that_of_a_permutation_test(stats):
    first, second = np.random.default_rng(5).integers(0, 4, (2, 9)) / 3
    twin = stats.permutation_test((first, second), lambda a, b: (a - b).mean(), permutation_type="samples")
    assert paired_difference(first, second, seed=0)[1] == pytest.approx(twin.pvalue)
    assert 0.01 < twin.pvalue < 1


@pytest.mark.parametrize("count", [1, 3, 40])
def test_differences_that_are_all_alike_have_no_interval_of_a_point(stats, count):
    right, wrong = np.ones(count), np.zeros(count)
    unseen = stats.binomtest(0, count).proportion_ci().high  # Clopper and Pearson
    for first, second, bounds in (
        (right, wrong, (1 - 2 * unseen, 1)), (wrong, right, (-1, 2 * unseen - 1)), (right, right, (-unseen, unseen)),
    ):  # fmt: skip
        gain, _ = paired_difference(first, second, seed=0)
        assert (gain.low, gain.high) == pytest.approx(bounds)
