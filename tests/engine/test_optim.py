"""Learning-rate schedules against a slow twin, and the optimisers' settings."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rspnet.engine.optim import Schedule, make_optimizer, scaled_learning_rate


def cosine_twin(peak: float, position: float, total: float) -> float:
    """PyTorch's closed form of cosine annealing to peak / 1000."""
    low = peak / 1000
    return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * position / total))


def test_cosine_by_epoch_is_constant_within_an_epoch_and_follows_pytorch() -> None:
    schedule = Schedule(peak=0.4, kind="cosine", total_steps=70, steps_per_epoch=7)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.4 / 1000)
    for epoch in range(10):
        rates = {schedule(epoch * 7 + step) for step in range(7)}
        assert len(rates) == 1
        assert rates.pop() == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        reference.step()


def test_cosine_by_step() -> None:
    schedule = Schedule(peak=1.0, kind="cosine", total_steps=100, steps_per_epoch=7, unit="step")
    assert [schedule(step) for step in (0, 33, 99)] == pytest.approx([cosine_twin(1.0, s, 100) for s in (0, 33, 99)])


def test_cosine_by_epoch_with_a_last_epoch_that_is_cut_short() -> None:
    schedule = Schedule(peak=1.0, kind="cosine", total_steps=10, steps_per_epoch=4)
    assert schedule(9) == pytest.approx(cosine_twin(1.0, 2, 3))


def test_step_divides_by_ten_at_milestones() -> None:
    schedule = Schedule(peak=1.0, kind="step", total_steps=40, steps_per_epoch=4, milestones=(5, 7))
    assert [schedule(4 * epoch) for epoch in (0, 4, 5, 6, 7, 9)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_warm_up_rises_linearly_and_then_leaves_the_schedule_alone() -> None:
    warm = Schedule(peak=1.0, kind="constant", total_steps=40, steps_per_epoch=4, warmup_steps=4)
    assert [warm(step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_linear_scaling_is_relative_to_64_clips() -> None:
    assert scaled_learning_rate(0.1, batch_size=256) == pytest.approx(0.4)
    assert scaled_learning_rate(0.1, batch_size=32) == pytest.approx(0.05)


def test_sgd_step_is_momentum_with_weight_decay_without_nesterov() -> None:
    parameter = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = make_optimizer([parameter], name="sgd", lr=0.1, weight_decay=0.01)
    value, velocity = 2.0, 0.0
    for gradient in (1.0, -0.5, 0.25):
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 0.01 * value
        value -= 0.1 * velocity
        assert parameter.item() == pytest.approx(value, rel=1e-12)


def test_adamw_takes_its_settings() -> None:
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], name="adamw", lr=1e-3, weight_decay=0.1)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert optimizer.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_state_of_other_strides_takes_those_of_the_parameter(name: str) -> None:
    """Fused kernels walk through memory: a momentum buffer in another layout would be added to the wrong weights."""
    results = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        torch.manual_seed(0)
        weights = torch.randn(4, 3, 2, 2, 2)
        parameter = nn.Parameter(weights.contiguous(memory_format=torch.channels_last_3d))
        optimizer = make_optimizer([parameter], name=name, lr=0.1, weight_decay=0.01)
        for _ in range(2):
            parameter.grad = torch.randn(4, 3, 2, 2, 2).contiguous(memory_format=torch.channels_last_3d)
            optimizer.step()
            state = optimizer.state_dict()
            for key, value in state["state"][0].items():
                if value.dim() == 5:
                    state["state"][0][key] = value.clone(memory_format=layout)
            optimizer.load_state_dict(state)
        results.append(parameter.detach())
        strides = {value.stride() for value in optimizer.state[parameter].values() if value.dim() == 5}
        assert strides == {parameter.stride()}
    assert torch.equal(*results)


def test_a_gradient_of_other_strides_is_not_stepped_with() -> None:
    parameter = nn.Parameter(torch.randn(4, 3, 2, 2, 2).contiguous(memory_format=torch.channels_last_3d))
    optimizer = make_optimizer([parameter], name="sgd", lr=0.1, weight_decay=0.0)
    parameter.grad = torch.zeros(4, 3, 2, 2, 2)
    with pytest.raises(AssertionError, match="strides"):
        optimizer.step()
