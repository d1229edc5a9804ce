"""Optimisers and learning-rate schedules. A schedule is a pure function of the step, so it needs no checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

REFERENCE_BATCH = 64
COSINE_FLOOR = 1e-3


def scaled_learning_rate(lr: float, *, batch_size: int) -> float:
    """Linear scaling with the global batch; `lr` is meant for 64 clips (METHOD.md section 2)."""
    return lr * batch_size / REFERENCE_BATCH


@dataclass(frozen=True)
class Schedule:
    """Learning rate at every step.

    Args:
        peak: highest rate.
        kind: "cosine" falls to peak / 1000, "step" divides by 10 at each milestone, "constant" stays.
        total_steps: steps of the whole training.
        steps_per_epoch: length of an epoch in steps.
        unit: the rate changes once an "epoch" (published) or every "step".
        warmup_steps: steps over which the rate rises linearly to its schedule.
        milestones: epochs at which "step" divides by 10.
    """

    peak: float
    kind: Literal["cosine", "step", "constant"]
    total_steps: int
    steps_per_epoch: int
    unit: Literal["epoch", "step"] = "epoch"
    warmup_steps: int = 0
    milestones: Sequence[float] = ()

    def __call__(self, step: int) -> float:
        """Rate that step `step` (from 0) uses."""
        reached = step // self.steps_per_epoch * self.steps_per_epoch if self.unit == "epoch" else step
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.peak * warmup * self._decay(reached)

    @property
    def notes(self) -> Iterator[str]:
        """What a user may not have meant."""
        if self.warmup_steps > self.total_steps:
            yield (
                f"--optim.warmup_steps {self.warmup_steps}: the training ends at step {self.total_steps}, before the "
                "learning rate is what --optim.lr says"
            )

    def _decay(self, reached: int) -> float:
        if self.kind == "cosine":
            last = math.ceil(self.total_steps / self.steps_per_epoch) * self.steps_per_epoch
            share = reached / (last if self.unit == "epoch" else self.total_steps)
            return COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + math.cos(math.pi * share)) / 2
        if self.kind == "step":
            return float(0.1 ** sum(reached / self.steps_per_epoch >= milestone for milestone in self.milestones))
        return 1.0


MOMENTUM = 0.9
"""Of SGD, as published; the first beta of AdamW."""


def make_optimizer(
    parameters: Iterable[nn.Parameter], *, name: Literal["sgd", "adamw"], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """SGD without Nesterov momentum (published) or AdamW, with fused kernels: one pass over the memory of a parameter.

    NOTE: torch's fused kernels walk through parameter, gradient and state in the order of memory and do not look at
    strides: where these differ they compute nonsense in silence. So state that is loaded takes the parameter's strides,
    and every step asserts that gradients have them.
    """
    optimizer: torch.optim.Optimizer
    if name == "sgd":
        optimizer = torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM, weight_decay=weight_decay, fused=True)
    else:
        betas = (MOMENTUM, 0.999)
        optimizer = torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
    optimizer.register_load_state_dict_post_hook(_take_strides_of_parameters)
    optimizer.register_step_pre_hook(_assert_strides_of_parameters)
    if name == "sgd":
        optimizer.register_step_pre_hook(_start_momentum_at_zero)
    return optimizer


def _start_momentum_at_zero(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Give parameters without a momentum one of 0: the first step is the same, momentum * 0 + gradient.

    torch's fused SGD takes memory as it finds it for a first momentum, and where the step is left out because a
    gradient is infinite (fp16, whose first steps often are) nothing is written there: the second step adds it up.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and "momentum_buffer" not in optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _take_strides_of_parameters(optimizer: torch.optim.Optimizer) -> None:
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _assert_strides_of_parameters(optimizer: torch.optim.Optimizer, *_: object) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                strides = zip(parameter.shape, parameter.stride(), parameter.grad.stride(), strict=True)
                assert all(own == other for size, own, other in strides if size > 1), "gradient with other strides"
