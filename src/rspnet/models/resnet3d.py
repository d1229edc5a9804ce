"""R3D-18/34/50 in the style of Hara et al. 2018 (METHOD.md section 3), and a slim one for CPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from rspnet.models.backbone import Backbone, init_weights
from rspnet.models.conv import Conv3d
from rspnet.models.kinds import InputKind
from rspnet.models.norm import BatchNorm3d, relu
from rspnet.models.pool import max_pool


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut."""

    expansion = 1
    flat = False
    """Whether every frame is convolved by itself."""

    def __init__(self, channels_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        kernel, padding = ((1, 3, 3), (0, 1, 1)) if self.flat else ((3, 3, 3), (1, 1, 1))
        strides = (1 if self.flat else stride, stride, stride)
        self.conv1 = Conv3d(channels_in, width, kernel, stride=strides, padding=padding, bias=False)
        self.bn1 = BatchNorm3d(width)
        self.conv2 = Conv3d(width, width, kernel, padding=padding, bias=False)
        self.bn2 = BatchNorm3d(width)
        self.downsample = projection_shortcut(channels_in, width, stride=strides)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, width, T/stride, H/stride, W/stride]; T stays where the block is flat."""
        out = relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return relu(out + self.downsample(x))


class FlatBlock(BasicBlock):
    """Two 1x3x3 convolutions and a shortcut."""

    flat = True


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 (strided) and 1x1x1 convolutions and a shortcut; four times as many channels out as inside."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        channels_out = width * self.expansion
        self.conv1 = Conv3d(channels_in, width, 1, bias=False)
        self.bn1 = BatchNorm3d(width)
        self.conv2 = Conv3d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = BatchNorm3d(width)
        self.conv3 = Conv3d(width, channels_out, 1, bias=False)
        self.bn3 = BatchNorm3d(channels_out)
        self.downsample = projection_shortcut(channels_in, channels_out, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, 4 * width, T/stride, H/stride, W/stride]."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return relu(out + self.downsample(x))


def projection_shortcut(channels_in: int, channels_out: int, *, stride: int | tuple[int, int, int]) -> nn.Module:
    """Identity where the shape stays, else a strided 1x1x1 convolution with batch norm."""
    if stride in (1, (1, 1, 1)) and channels_in == channels_out:
        return nn.Identity()
    return nn.Sequential(Conv3d(channels_in, channels_out, 1, stride=stride, bias=False), BatchNorm3d(channels_out))


class ResNet3D(Backbone):
    """Stem of stride (1, 2, 2), max pool 3 stride 2 in time too, four stages with strides 1, 2, 2, 2.

    Args:
        name: see `Backbone`.
        input: see `Backbone`.
        block: what stages are made of. With flat ones (and a stem of one frame) nothing spans frames: time is kept.
        depths: blocks of each stage.
        widths: channels of each stage.
        stem: size of the first convolution.
    """

    def __init__(
        self,
        *,
        name: str,
        input: InputKind,  # noqa: A002
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        widths: tuple[int, int, int, int] = (64, 128, 256, 512),
        stem: tuple[int, int, int] = (7, 7, 7),
    ) -> None:
        super().__init__(name=name, num_features=widths[-1] * block.expansion, input=input)
        self.flat = block is FlatBlock
        padding = stem[0] // 2, stem[1] // 2, stem[2] // 2
        self.conv1 = Conv3d(self.num_channels, widths[0], stem, stride=(1, 2, 2), padding=padding, bias=False)
        self.bn1 = BatchNorm3d(widths[0])
        channels = widths[0]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
            blocks = []
            for index in range(depth):
                blocks.append(block(channels, width, stride=2 if stage > 1 and index == 0 else 1))
                channels = width * block.expansion
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        init_weights(self)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """See `Backbone.stages`."""
        blocks = (cast(nn.Sequential, self.get_submodule(f"layer{stage}")) for stage in range(1, 5))
        return [self._stem, *(block for layer in blocks for block in layer)]

    def _stem(self, clips: Tensor) -> Tensor:
        x = relu(self.bn1(self.conv1(clips)))
        if self.flat:
            return max_pool(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        return max_pool(x, 3, stride=2, padding=1)
