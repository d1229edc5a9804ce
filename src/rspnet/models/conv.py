"""The one convolution every backbone and head uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` whose bfloat16 weight gradient can be trusted on CPUs, and that is fast for pictures on GPUs.

    With oneDNN 3.12 (torch 2.13, 2.14) that gradient is garbage, without an error, wherever the time extent of the
    input is smaller than the temporal kernel, time is padded and the temporal stride is 1. Padding time beforehand
    with zeros and convolving without temporal padding is the same function and avoids that kernel. Taps of the
    kernel that could only ever meet padding are left out: one frame needs one tap, a third of the work.

    On GPUs, clips of few channels take the way of `conv_of_patches`.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        padding = time_padding, *space_padding = tuple(int(size) for size in self.padding)
        if input.is_cuda and self._has_few_channels and (half := _half_precision(input)) is not None:
            return conv_of_patches(input.to(half), weight.to(half), bias, stride=self.stride, padding=padding)
        num_frames = input.shape[2]
        if not (time_padding and self.stride[0] == 1 and num_frames < self.kernel_size[0]):
            out: Tensor = super()._conv_forward(input, weight, bias)
            return out
        unused = max(0, time_padding - (num_frames - 1))  # taps at either end that reach no frame of such a clip
        if unused:
            weight = _MiddleTaps.apply(weight, unused)  # type: ignore[no-untyped-call]
            time_padding -= unused
        if time_padding:
            input = F.pad(input, (0, 0, 0, 0, time_padding, time_padding))  # noqa: A001
        return F.conv3d(input, weight, bias, self.stride, (0, *space_padding), self.dilation, self.groups)

    @property
    def _has_few_channels(self) -> bool:
        return self.in_channels < 8 and (self.groups, *self.dilation) == (1, 1, 1, 1)


def _half_precision(x: Tensor) -> torch.dtype | None:
    """The half precision that a convolution of `x` is computed in on a GPU, if any."""
    dtype = x.dtype
    if dtype == torch.float32 and torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
    return dtype if dtype in (torch.bfloat16, torch.float16) else None


def conv_of_patches(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """`F.conv3d` of clips of few channels [B, C, T, H, W], seven times as fast on GPUs in half precision.

    cuDNN reads eight channels at a time; for three, a 7x7x7 convolution of 64 clips of 16 x 112 x 112 takes an H100
    29 ms. Here each place gets all the pixels under the kernel as its channels, and the kernel is left with time alone.
    """
    _, height, width = weight.shape[2:]
    frames = F.pad(x.permute(0, 2, 3, 4, 1), (0, 0, padding[2], padding[2], padding[1], padding[1]))
    windows = frames.unfold(2, height, stride[1]).unfold(3, width, stride[2]).permute(0, 1, 2, 3, 5, 6, 4)
    used = windows.shape[4:].numel()
    unused = -used % 8
    patches = x.new_zeros(*windows.shape[:4], used + unused)
    patches[..., :used].view(windows.shape).copy_(windows)
    kernel = F.pad(weight.permute(0, 3, 4, 1, 2).flatten(1, 3), (0, 0, 0, unused))[..., None, None]
    kernel = kernel.contiguous(memory_format=torch.channels_last_3d)
    return F.conv3d(patches.permute(0, 4, 1, 2, 3), kernel, bias, (stride[0], 1, 1), (padding[0], 0, 0))


class _MiddleTaps(torch.autograd.Function):
    """`weight[:, :, unused:-unused]` of [C_out, C_in, k, h, w], whose gradient has the memory format of the weight.

    That of a slice is contiguous, and is copied once more where the weight is channels_last_3d.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, unused: int) -> Tensor:
        ctx.unused = unused
        ctx.save_for_backward(weight)
        return weight[:, :, unused : weight.shape[2] - unused].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        whole = torch.zeros_like(weight)
        whole[:, :, ctx.unused : weight.shape[2] - ctx.unused] = gradient
        return whole, None
