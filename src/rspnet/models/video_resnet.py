"""The standard 18-layer networks of Tran et al. 2018 under torchvision's parameter names: R(2+1)D-18 and its R3D-18.

NOTE: torchvision's R3D-18 is another network than the R3D-18 of RSPNet's paper (`resnet3d`, Hara et al.): its stem is
3x7x7 instead of 7x7x7 and no max pool follows, so its maps are twice as long, high and wide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from rspnet.models.backbone import Backbone, init_weights
from rspnet.models.conv import Conv3d
from rspnet.models.kinds import InputKind
from rspnet.models.norm import BatchNorm3d, ReLU, relu
from rspnet.models.resnet3d import projection_shortcut

ConvMaker = Callable[[int, int, int, int], nn.Module]
"""(channels in, channels out, middle channels, stride) -> a 3x3x3 convolution, whole or factored."""


def whole_conv(channels_in: int, channels_out: int, middle: int, stride: int) -> nn.Module:  # noqa: ARG001
    """3x3x3 convolution; `middle` belongs to factored ones."""
    return Conv3d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)


def factored_conv(channels_in: int, channels_out: int, middle: int, stride: int) -> nn.Module:
    """Spatial 1x3x3 convolution, batch norm, ReLU, temporal 3x1x1 convolution."""
    return nn.Sequential(
        Conv3d(channels_in, middle, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
        BatchNorm3d(middle),
        ReLU(),
        Conv3d(middle, channels_out, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False),
    )


class StandardBlock(nn.Module):
    """Residual block; factored convolutions in it share one number of middle channels; plain 1x1x1 shortcut."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int, conv: ConvMaker) -> None:
        super().__init__()
        middle = 27 * channels_in * channels_out // (9 * channels_in + 3 * channels_out)
        self.conv1 = nn.Sequential(conv(channels_in, channels_out, middle, stride), BatchNorm3d(channels_out), ReLU())
        self.conv2 = nn.Sequential(conv(channels_out, channels_out, middle, 1), BatchNorm3d(channels_out))
        self.downsample = projection_shortcut(channels_in, channels_out, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T, H, W] -> [B, C_out, T/stride, H/stride, W/stride]."""
        return relu(self.conv2(self.conv1(x)) + self.downsample(x))


class VideoResNet18(Backbone):
    """Stem with stride (1, 2, 2), then four stages of two blocks, strides 1, 2, 2, 2.

    Args:
        name: see `Backbone`.
        input: see `Backbone`.
        factored: R(2+1)D-18 with factored convolutions (torchvision's `r2plus1d_18`), else R3D-18 (its `r3d_18`).
    """

    def __init__(self, *, name: str, input: InputKind, factored: bool) -> None:  # noqa: A002
        super().__init__(name=name, num_features=512, input=input)
        self.stem = _factored_stem(self.num_channels) if factored else _whole_stem(self.num_channels)
        conv = factored_conv if factored else whole_conv
        channels = 64
        for stage, width in enumerate((64, 128, 256, 512), start=1):
            blocks = [
                StandardBlock(channels, width, stride=1 if stage == 1 else 2, conv=conv),
                StandardBlock(width, width, stride=1, conv=conv),
            ]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            channels = width
        init_weights(self)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """See `Backbone.stages`."""
        layers = (cast(nn.Sequential, self.get_submodule(f"layer{stage}")) for stage in range(1, 5))
        return [self.stem, *(block for layer in layers for block in layer)]


def _whole_stem(num_channels: int) -> nn.Sequential:
    return nn.Sequential(
        Conv3d(num_channels, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False), BatchNorm3d(64), ReLU()
    )


def _factored_stem(num_channels: int) -> nn.Sequential:
    return nn.Sequential(
        Conv3d(num_channels, 45, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        BatchNorm3d(45),
        ReLU(),
        Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0), bias=False),
        BatchNorm3d(64),
        ReLU(),
    )
