import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import pretext_reference

from rspnet.losses.info_nce import info_nce
from rspnet.losses.ranking import margin_ranking, ranking_accuracy


def unit(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=1).to(dtype)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("batch", [1, 5])
def test_info_nce_equals_its_twin(batch: int, temperature: float) -> None:
    query, positive, negatives = unit(batch, 6, seed=0), unit(batch, 6, seed=1), unit(17, 6, seed=2)
    found = info_nce(query, positive, negatives, temperature=temperature)
    arrays = query.numpy(), positive.numpy(), negatives.numpy()
    assert found.loss.item() == pytest.approx(pretext_reference.info_nce(*arrays, temperature), rel=1e-12)
    assert found.rank.tolist() == pretext_reference.negatives_before_positive(*arrays)


def test_info_nce_by_hand() -> None:
    query = torch.tensor([[1.0, 0.0]])
    # one positive at cosine 1, one negative at cosine 0, temperature 1: -log(e / (e + 1))
    found = info_nce(query, query, torch.tensor([[0.0, 1.0]]), temperature=1.0)
    assert found.loss.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)
    assert found.rank.tolist() == [0]
    # all alike, 7 negatives: chance, and ties count against the positive
    found = info_nce(query, query, query.expand(7, 2))
    assert found.loss.item() == pytest.approx(math.log(8), rel=1e-6)
    assert found.rank.tolist() == [7]


def test_not_a_number_never_counts_as_right() -> None:
    broken = torch.full((2, 3), math.nan)
    assert info_nce(broken, broken, torch.ones(4, 3)).rank.tolist() == [4, 4]
    assert ranking_accuracy(broken, broken, broken) == 0


@pytest.mark.parametrize("margin", [0.0, 2.0])
def test_margin_ranking_equals_its_twin(margin: float) -> None:
    query, same, other = (unit(9, 6, seed=seed) for seed in range(3))
    found = margin_ranking(query, same, other, margin=margin, temperature=0.07).item()
    expected = pretext_reference.margin_ranking(query.numpy(), same.numpy(), other.numpy(), margin, 0.07)
    assert found == pytest.approx(expected, rel=1e-12)


def test_margin_ranking_by_hand_and_in_both_units() -> None:
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    same = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    other = torch.tensor([[0.0, 1.0], [0.6, -0.8], [0.0, 1.0]])
    # differences of the cosines: 1, 0, -1; temperature 0.5: 2, 0, -2; margin 2: losses 0, 2, 4
    assert margin_ranking(query, same, other, margin=2.0, temperature=0.5).item() == pytest.approx(2.0)
    assert ranking_accuracy(query, same, other).item() == pytest.approx(1 / 3)  # a tie is not right
    # NOTE of the docstring: margin 2 / temperature 0.07 is gamma 0.14 on bare cosines, 1 / 0.07 times as large
    query, same, other = (unit(9, 6, seed=seed) for seed in range(3))
    on_cosines = margin_ranking(query, same, other, margin=0.14, temperature=1.0)
    assert margin_ranking(query, same, other).item() == pytest.approx(on_cosines.item() / 0.07)


def test_gradients() -> None:
    query, positive, other = (unit(3, 4, seed=seed).requires_grad_() for seed in range(3))
    negatives = unit(5, 4, seed=9)
    assert torch.autograd.gradcheck(lambda q, p: info_nce(q, p, negatives, temperature=0.5).loss, (query, positive))
    assert torch.autograd.gradcheck(
        lambda q, s, o: margin_ranking(q, s, o, margin=5.0, temperature=0.5), (query, positive, other)
    )


def test_float32_inside_autocast_and_from_bfloat16() -> None:
    query, positive, negatives = (unit(4, 16, seed=seed, dtype=torch.float32) for seed in range(3))
    expected = info_nce(query, positive, negatives).loss, margin_ranking(query, positive, negatives)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = info_nce(query, positive, negatives).loss, margin_ranking(query, positive, negatives)
    assert found == expected
    assert info_nce(query.bfloat16(), positive.bfloat16(), negatives).loss.dtype == torch.float32
    np.testing.assert_allclose(found[0].item(), expected[0].item())
