from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import metrics_reference as reference

from rspnet.core.errors import RSPNetError
from rspnet.features import neighbours as metrics
from rspnet.features.neighbours import average_precisions, hits_at_k, recall_at_k, top_k
from rspnet.features.scores import bootstrap_interval


@st.composite
def problems(draw):
    """Features whose cosines are exact in float32 (signed unit axes, few of them: many ties) and labels."""
    num_query, num_gallery = draw(st.integers(1, 9)), draw(st.integers(2, 23))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    axes = np.concatenate([np.eye(3), -np.eye(3)[:1], np.zeros((1, 3)), np.array([[3.0, 4.0, 0.0]]) / 5])
    query, gallery = axes[rng.integers(0, 5, num_query)], axes[rng.integers(0, 6, num_gallery)]
    labels = rng.integers(0, 4, num_query), rng.integers(0, 4, num_gallery)
    return query, gallery, labels, draw(st.sampled_from([1, 2, 3, 7, 64]))


def _tensors(*arrays):
    return tuple(torch.from_numpy(np.asarray(array)) for array in arrays)


@settings(deadline=None, max_examples=80)
@given(problems())
def test_neighbours_recall_and_precision_equal_the_slow_twins_with_ties(problem):
    query, gallery, (query_labels, gallery_labels), block = problem
    scores = reference.cosine_matrix(query, gallery)
    features, labels = _tensors(query, gallery), _tensors(query_labels, gallery_labels)
    for k in {1, len(gallery)}:
        near = top_k(*features, k, block=block)
        expected = [reference.ranking(scores[i])[:k] for i in range(len(query))]
        assert near.indices.tolist() == expected
        np.testing.assert_allclose(near.scores, np.take_along_axis(scores, np.array(expected), 1), atol=1e-6)
        found = recall_at_k(*features, *labels, [k], block=block)
        assert found == {k: pytest.approx(reference.recall(scores, query_labels, gallery_labels, k))}
    precisions = average_precisions(*features, *labels, block=block)
    expected_precisions = [
        reference.average_precision(scores[i], query_labels[i], gallery_labels) for i in range(len(query))
    ]
    np.testing.assert_allclose(precisions, expected_precisions, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([1, 5, 64]), st.integers(1, 40))
def test_random_features_equal_the_slow_twin_at_any_block_size(seed, block, k):
    rng = np.random.default_rng(seed)
    query, gallery = rng.standard_normal((6, 8)), 5 * rng.standard_normal((40, 8))
    near = top_k(*_tensors(query, gallery), k, block=block)
    scores = reference.cosine_matrix(query, gallery)
    np.testing.assert_allclose(near.scores, -np.sort(-scores, axis=1)[:, :k], atol=2e-6)
    np.testing.assert_allclose(near.scores, np.take_along_axis(scores, near.indices.numpy(), 1), atol=2e-6)


def test_hand_made_values():
    gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    query = torch.tensor([[2.0, 0.0]])
    labels = torch.tensor([5]), torch.tensor([0, 5, 0, 5])
    assert recall_at_k(query, gallery, *labels, [1, 2, 4]) == {1: 0.0, 2: 1.0, 4: 1.0}
    assert hits_at_k(query, gallery, *labels, [2])[2].tolist() == [True]
    # Right ones stand at places 2 and 4: (1/2 + 2/4) / 2.
    assert average_precisions(query, gallery, *labels).tolist() == [0.5]
    assert average_precisions(query, gallery, torch.tensor([9]), labels[1]).isnan().all()


def test_all_features_equal_is_decided_by_index_alone():
    ones = torch.ones(300, 4)
    near = top_k(ones[:3], ones, 7, block=100)
    assert near.indices.tolist() == [list(range(7))] * 3


def test_memory_stays_within_the_block(monkeypatch):
    largest = 0
    original = torch.Tensor.__matmul__

    def watched(self, other):
        nonlocal largest
        product = original(self, other)
        largest = max(largest, product.numel())
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    query, gallery = torch.randn(70, 4), torch.randn(130, 4)
    top_k(query, gallery, 5, block=16)
    assert 0 < largest <= 16 * 16
    largest = 0
    labels = torch.zeros(70), torch.zeros(130)
    average_precisions(query, gallery, *labels, block=16)
    assert 0 < largest <= 16 * 16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k(torch.ones(2, 3), torch.ones(4, 3), 5), "k is 5; it must be between 1 and .*, 4"),
        (lambda: top_k(torch.ones(2, 3), torch.ones(4, 3), 0), "k is 0"),
        (lambda: top_k(torch.ones(2, 3), torch.ones(4, 2), 1), "query features have 3 dimensions, gallery ones 2"),
        (lambda: top_k(torch.ones(2, 3), torch.full((4, 3), torch.nan), 1), "gallery feature 0 is not finite"),
        (lambda: top_k(torch.ones(0, 3), torch.ones(4, 3), 1), "query features have shape"),
        (lambda: top_k(torch.ones(2, 3), torch.ones(4, 3), 1, block=0), "block is 0"),
        (lambda: recall_at_k(torch.ones(2, 3), torch.ones(4, 3), torch.ones(2), torch.ones(3), [1]), "gallery labels"),
        (lambda: recall_at_k(torch.ones(2, 3), torch.ones(4, 3), torch.ones(2), torch.ones(4), []), "ks is empty"),
        (lambda: recall_at_k(torch.ones(2, 3), torch.ones(4, 3), torch.ones(2), torch.ones(4), [0, 1]), "k is 0"),
        (lambda: bootstrap_interval([], seed=0), "values have shape"),
        (lambda: bootstrap_interval([1.0], seed=0, level=1.0), "level is 1.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(RSPNetError, match=message):
        call()


def test_bootstrap_interval_is_seeded_and_close_to_the_normal_one():
    values = np.random.default_rng(0).random(400)
    low, high = bootstrap_interval(values, seed=1)
    assert (low, high) == bootstrap_interval(values, seed=1)
    assert (low, high) != bootstrap_interval(values, seed=2)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.2 * error)
    narrow = bootstrap_interval(values, seed=1, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    assert bootstrap_interval([0.25] * 9, seed=0) == (0.25, 0.25)


@pytest.mark.parametrize("count", [1, 3, 200])
@pytest.mark.parametrize("hit", [False, True])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_of_all_or_no_hits_the_interval_is_the_exact_one(count, hit, level):
    binomtest = pytest.importorskip("scipy.stats").binomtest
    exact = binomtest(count * hit, count).proportion_ci(level, method="exact")
    found = bootstrap_interval([hit] * count, seed=0, level=level)
    assert found == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_keys_order_scores_then_lowest_index():
    scores = torch.tensor([-1.0, -0.5, -0.0, 0.0, 1e-38, 0.5, 1.0])
    keys = metrics._keys_of(scores, torch.arange(7))
    assert keys.argsort(descending=True).tolist() == [6, 5, 4, 2, 3, 1, 0]
    assert torch.equal(metrics._score_of(keys), scores)
