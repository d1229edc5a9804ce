"""The one convolution every backbone and head uses."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` whose bfloat16 weight gradient can be trusted on CPUs.

    With oneDNN 3.12 (torch 2.13, 2.14) that gradient is garbage, without an error, wherever the time extent of the
    input is smaller than the temporal kernel, time is padded and the temporal stride is 1. Padding time beforehand
    with zeros and convolving without temporal padding is the same function and avoids that kernel.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        time_padding, *space_padding = (int(padding) for padding in self.padding)
        if time_padding and self.stride[0] == 1 and input.shape[2] < self.kernel_size[0]:
            padded = F.pad(input, (0, 0, 0, 0, time_padding, time_padding))
            return F.conv3d(padded, weight, bias, self.stride, (0, *space_padding), self.dilation, self.groups)
        out: Tensor = super()._conv_forward(input, weight, bias)
        return out
