"""Max pooling without the detours of the stock one on CPUs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Size = int | tuple[int, int, int]


def max_pool(x: Tensor, kernel: Size, *, stride: Size, padding: Size = 0) -> Tensor:
    """`F.max_pool3d` of [B, C, T, H, W] in the precision of `x`.

    Autocast on CPUs computes max pools in float32: it would convert the largest maps of a network there and, where a
    shortcut follows, leave the sums of a whole stage in float32. A maximum is as exact in bfloat16.
    """
    if (kernel, stride, padding) == (3, 1, 1) and not _needs_indices(x):
        return _max_of_neighbours(x)
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.max_pool3d(x, kernel, stride, padding)
    with torch.autocast("cpu", enabled=False):
        return F.max_pool3d(x, kernel, stride, padding)


def halve_time_pool(x: Tensor) -> Tensor:
    """Max pool 2x2x2 of [B, C, T, H, W]; a single remaining frame stays, so clips of 4 frames pass too."""
    size = (min(2, x.shape[2]), 2, 2)
    return max_pool(x, size, stride=size)


def _needs_indices(x: Tensor) -> bool:
    """Whether a backward pass may follow, or the code is being traced for elsewhere; on GPUs one kernel is best."""
    return (torch.is_grad_enabled() and x.requires_grad) or torch.compiler.is_compiling() or x.device.type != "cpu"


def _max_of_neighbours(x: Tensor) -> Tensor:
    """Max pool 3x3x3 of stride 1 and padding 1, one axis after the other: 6 comparisons a value instead of 26."""
    for axis in (2, 3, 4):
        last = x.shape[axis] - 1
        wider = x.clone()
        for there, here in ((0, 1), (1, 0)):  # the neighbour before, the neighbour after
            target = wider.narrow(axis, here, last)
            torch.maximum(target, x.narrow(axis, there, last), out=target)
        x = wider
    return x
