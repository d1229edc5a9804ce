"""S3D-G: Inception with separable convolutions and feature gating (Xie et al. 2018; METHOD.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rspnet.models.backbone import Backbone, init_weights
from rspnet.models.conv import Conv3d
from rspnet.models.kinds import InputKind
from rspnet.models.norm import BatchNorm3d, relu
from rspnet.models.pool import halve_time_pool, max_pool

Triple = tuple[int, int, int]


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm (eps 1e-3, momentum 0.001), ReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = Conv3d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=False)
        self.bn = BatchNorm3d(channels_out, eps=1e-3, momentum=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T, H, W] -> [B, C_out, T', H', W']."""
        return relu(self.bn(self.conv(x)))


class SeparableConv(nn.Module):
    """Spatial 1xkxk, temporal kx1x1 convolution, gating; the spatial one strides all three axes."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.spatial = ConvNorm(channels_in, channels_out, kernel=(1, kernel, kernel), stride=(stride,) * 3)
        self.temporal = ConvNorm(channels_out, channels_out, kernel=(kernel, 1, 1))
        self.gate = Conv3d(channels_out, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T, H, W] -> [B, C_out, T', H', W']: x times sigmoid(gate(global average of x))."""
        x = self.temporal(self.spatial(x))
        weights = torch.sigmoid(self.gate(x.mean(dim=(2, 3, 4), keepdim=True)))
        return x * weights


class Inception(nn.Module):
    """Four branches side by side: 1x1x1; two of 1x1x1 then separable 3; max pool 3 then 1x1x1.

    Args:
        channels_in: channels of the input.
        widths: (branch 0, inner and outer of branch 1, inner and outer of branch 2, branch 3).
    """

    def __init__(self, channels_in: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        first, inner1, outer1, inner2, outer2, last = widths
        self.channels_out = first + outer1 + outer2 + last
        self.branch0 = ConvNorm(channels_in, first)
        self.branch1 = nn.Sequential(ConvNorm(channels_in, inner1), SeparableConv(inner1, outer1))
        self.branch2 = nn.Sequential(ConvNorm(channels_in, inner2), SeparableConv(inner2, outer2))
        self.branch3 = ConvNorm(channels_in, last)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T, H, W] -> [B, C_out, T, H, W]."""
        pooled = max_pool(x, 3, stride=1, padding=1)
        return torch.cat((self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(pooled)), dim=1)


_INCEPTIONS: dict[str, tuple[int, int, int, int, int, int]] = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


class S3DG(Backbone):
    """S3D with gating; the classifier's dropout belongs to the downstream head."""

    def __init__(self, *, name: str, input: InputKind) -> None:  # noqa: A002
        super().__init__(name=name, num_features=1024, input=input)
        self.stem = SeparableConv(self.num_channels, 64, kernel=7, stride=2)
        self.conv2 = ConvNorm(64, 64)
        self.conv3 = SeparableConv(64, 192)
        channels = 192
        for stage, widths in _INCEPTIONS.items():
            block = Inception(channels, widths)
            self.add_module(f"inception_{stage}", block)
            channels = block.channels_out
        init_weights(self)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """See `Backbone.stages`."""
        stages: list[Callable[[Tensor], Tensor]] = [self.stem, _halve_space, self.conv2, self.conv3, _halve_space]
        for name in _INCEPTIONS:
            if name == "4b":
                stages.append(partial(max_pool, kernel=3, stride=2, padding=1))
            elif name == "5b":
                stages.append(halve_time_pool)
            stages.append(self.get_submodule(f"inception_{name}"))
        return stages


def _halve_space(x: Tensor) -> Tensor:
    """Max pool 1x3x3, stride 2 in space."""
    return max_pool(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
