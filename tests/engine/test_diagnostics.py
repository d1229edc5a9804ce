"""Diagnostics of a ranking task on vectors whose state is known."""

from __future__ import annotations

import math

import pytest
import torch

from rspnet.engine.diagnostics import gradient_norms, ranking_state, vector_spread


def test_spread_tells_collapse_from_use_of_every_direction() -> None:
    same = torch.tensor([[0.6, 0.8]]).repeat(5, 1)
    assert vector_spread(same) == {"mean_cosine": pytest.approx(1.0), "effective_rank": 0.0}
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    found = vector_spread(axes)
    assert found["effective_rank"] == pytest.approx(3.0)
    assert found["mean_cosine"] == pytest.approx(-6 / 30)  # six ordered pairs of opposites among thirty


def test_ranking_state_counts_saturated_hinges() -> None:
    query = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    angles = torch.tensor([0.0, 0.5, 1.0, math.pi / 2])
    same = torch.stack([angles.cos(), angles.sin()], dim=1)
    other = torch.tensor([[math.cos(0.75), math.sin(0.75)]]).repeat(4, 1)
    state = ranking_state(query, same, other, margin=0.2, temperature=1.0)
    gaps = sorted(float(value) - math.cos(0.75) for value in angles.cos())
    assert state["accuracy"] == 0.5
    assert state["saturated"] == 0.25  # only 1 - cos 0.75 = 0.27 is beyond the margin; cos 0.5 leads by 0.15
    assert state["gap_q50"] == pytest.approx((gaps[1] + gaps[2]) / 2)


def test_gradient_norms_leave_the_training_step_alone() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    unused = torch.nn.Parameter(torch.ones(2))
    losses = {"motion": weight[0] * 2, "appearance": (weight * torch.tensor([3.0, 4.0])).sum()}
    found = gradient_norms(losses, [weight, unused])
    assert found["gradient_motion"] == pytest.approx(2.0)
    assert found["gradient_appearance"] == pytest.approx(5.0)
    assert found["gradient_cosine_motion_appearance"] == pytest.approx(0.6)
    assert weight.grad is None
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert weight.grad is not None
