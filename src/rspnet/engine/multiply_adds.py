"""The work of a network, counted without doing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_Steps = Sequence[int] | int


def multiply_adds(module: nn.Module, clip_shape: tuple[int, int, int, int]) -> int:
    """Multiply-adds of the forward pass of one clip [C, T, H, W]: those of convolutions and linear layers.

    Products with padding are counted. Convolutions and norms give tensors of the right shape without computing.
    (torch's own counter needs the meta device, whose first use imports half of torch's compiler: a second or two.)

    Args:
        module: on any device, meta too; its training mode is kept.
        clip_shape: as above.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    counter = _Counter()
    try:
        with counter, torch.no_grad():
            module(_hollow((1, *clip_shape)))
    finally:
        for part, training in modes:
            part.training = training
    return counter.total


class _Counter(TorchFunctionMode):
    """Counts what passes through; what has weights gives back zeros without memory of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self._own: dict[Any, Callable[..., Tensor]] = {
            **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), self._convolution),
            F.linear: self._linear,
            F.batch_norm: lambda input, *_, **__: input,  # noqa: A006
            F.relu: lambda input, *_, **__: input,  # noqa: A006
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._own.get(func, func)(*args, **(kwargs or {}))

    def _convolution(
        self,
        input: Tensor,  # noqa: A002
        weight: Tensor,
        bias: Tensor | None = None,  # noqa: ARG002
        stride: _Steps = 1,
        padding: _Steps = 0,
        dilation: _Steps = 1,
        groups: int = 1,  # noqa: ARG002 - weight.shape[1] is of a group
    ) -> Tensor:
        taps = weight.shape[2:]
        by_axis = [[item] * len(taps) if isinstance(item, int) else item for item in (stride, padding, dilation)]
        size = [
            (extent + 2 * pad - gap * (tap - 1) - 1) // step + 1
            for extent, tap, step, pad, gap in zip(input.shape[2:], taps, *by_axis, strict=True)
        ]
        shape = (input.shape[0], weight.shape[0], *size)
        self.total += math.prod(shape) * math.prod(weight.shape[1:])
        return _hollow(shape)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002, ARG002
        shape = (*input.shape[:-1], weight.shape[0])
        self.total += math.prod(shape) * weight.shape[1]
        return _hollow(shape)


def _hollow(shape: Sequence[int]) -> Tensor:
    """Zeros that share a single place in memory."""
    return torch.zeros(()).expand(shape)
