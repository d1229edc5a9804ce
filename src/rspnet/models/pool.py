"""Max pooling without the detours of the stock one on CPUs, and on GPUs with the same bits every time if asked for."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rspnet.core.errors import RSPNetError

Size = int | tuple[int, int, int]


def max_pool(x: Tensor, kernel: Size, *, stride: Size, padding: Size = 0) -> Tensor:
    """`F.max_pool3d` of [B, C, T, H, W] in the precision of `x`.

    Autocast on CPUs computes max pools in float32: it would convert the largest maps of a network there and, where a
    shortcut follows, leave the sums of a whole stage in float32. A maximum is as exact in bfloat16.
    """
    if (kernel, stride, padding) == (3, 1, 1) and not _needs_indices(x):
        return _max_of_neighbours(x)
    if x.is_cuda and x.requires_grad and torch.are_deterministic_algorithms_enabled():
        sizes = _triple(kernel), _triple(stride), _triple(padding)
        pooled: Tensor = _RepeatablePool.apply(x, *sizes)  # type: ignore[no-untyped-call]
        return pooled
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.max_pool3d(x, kernel, stride, padding)
    with torch.autocast("cpu", enabled=False):
        return F.max_pool3d(x, kernel, stride, padding)


def _triple(size: Size) -> tuple[int, int, int]:
    return (size, size, size) if isinstance(size, int) else size


class _RepeatablePool(torch.autograd.Function):
    """`F.max_pool3d` of [B, C, T, H, W] whose gradient is the same to the last bit every time, on GPUs, too.

    There the stock gradient adds up what overlapping windows send in whatever order they come (and before torch 2.13
    refuses to, where only deterministic algorithms are allowed). Here all windows send what goes to their first place,
    then to their second, and so on: no two of them share one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Any, stride: Any, padding: Any) -> Tensor:
        out, places = F.max_pool3d(x, kernel, stride, padding, return_indices=True)
        ctx.save_for_backward(places)
        ctx.sizes = x.shape, kernel, stride, padding
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (places,) = ctx.saved_tensors
        shape, kernel, stride, padding = ctx.sizes
        wider = [size + 2 * border for size, border in zip(shape[2:], padding, strict=True)]
        total = gradient.new_zeros(*shape[:2], *wider, dtype=torch.promote_types(gradient.dtype, torch.float32))
        inner = tuple(slice(border, border + size) for border, size in zip(padding, shape[2:], strict=True))
        numbers = torch.full(wider, -1, device=gradient.device)  # as `places` numbers values; -1 on the border
        numbers[inner] = torch.arange(shape[2:].numel(), device=gradient.device).view(shape[2:])
        for offsets in product(*map(range, kernel)):
            part = tuple(
                slice(offset, offset + step * (count - 1) + 1, step)
                for offset, step, count in zip(offsets, stride, places.shape[2:], strict=True)
            )
            total[:, :, *part] += torch.where(places == numbers[part], gradient, 0)
        return total[:, :, *inner].to(gradient.dtype), None, None, None


def halve_time_pool(x: Tensor) -> Tensor:
    """Max pool 2x2x2 of [B, C, T, H, W]; a single remaining frame stays, so clips of 4 frames pass too.

    Raises:
        RSPNetError: a single pixel is left across or down.
    """
    if min(x.shape[3:]) < 2:
        raise RSPNetError("the clips are too small for this network: C3D needs 16 x 16 pixels, S3D-G 17 x 17")
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
