"""The one convolution every backbone and head uses."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` whose bfloat16 weight gradient can be trusted on CPUs.

    With oneDNN 3.12 (torch 2.13, 2.14) that gradient is garbage, without an error, wherever the time extent of the
    input is smaller than the temporal kernel, time is padded and the temporal stride is 1. Padding time beforehand
    with zeros and convolving without temporal padding is the same function and avoids that kernel. Taps of the
    kernel that could only ever meet padding are left out: one frame needs one tap, a third of the work.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        time_padding, *space_padding = (int(padding) for padding in self.padding)
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
