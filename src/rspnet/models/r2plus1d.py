"""The paper's small R(2+1)D (METHOD.md section 3); the field's standard R(2+1)D-18 is in `video_resnet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from rspnet.models.backbone import Backbone, init_weights
from rspnet.models.conv import Conv3d
from rspnet.models.kinds import InputKind
from rspnet.models.norm import BatchNorm3d, relu


class FactoredConv(nn.Module):
    """Spatial 1xkxk convolution, batch norm, ReLU, temporal kx1x1 convolution, with the weights of a full one.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        kernel: (k_t, k_h = k_w); paddings are half of it.
        stride: (time, space).
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: tuple[int, int], stride: tuple[int, int]
    ) -> None:
        super().__init__()
        k_time, k_space = kernel
        area = k_space * k_space
        middle = k_time * area * channels_in * channels_out // (area * channels_in + k_time * channels_out)
        self.spatial = Conv3d(
            channels_in,
            middle,
            (1, k_space, k_space),
            stride=(1, stride[1], stride[1]),
            padding=(0, k_space // 2, k_space // 2),
            bias=False,
        )
        self.bn = BatchNorm3d(middle)
        self.temporal = Conv3d(
            middle, channels_out, (k_time, 1, 1), stride=(stride[0], 1, 1), padding=(k_time // 2, 0, 0), bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T, H, W] -> [B, C_out, T/stride, H/stride, W/stride]."""
        return cast(Tensor, self.temporal(relu(self.bn(self.spatial(x)))))


class FactoredBlock(nn.Module):
    """Residual block of two factored convolutions; where it strides, the shortcut is a factored 1x1x1 one."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = FactoredConv(channels_in, channels_out, kernel=(3, 3), stride=(stride, stride))
        self.bn1 = BatchNorm3d(channels_out)
        self.conv2 = FactoredConv(channels_out, channels_out, kernel=(3, 3), stride=(1, 1))
        self.bn2 = BatchNorm3d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = FactoredConv(channels_in, channels_out, kernel=(1, 1), stride=(stride, stride))
        self.shortcut_bn = BatchNorm3d(channels_out) if stride != 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T, H, W] -> [B, C_out, T/stride, H/stride, W/stride]."""
        out = relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return relu(out + self.shortcut_bn(self.shortcut(x)))


class R2Plus1DVcop(Backbone):
    """The paper's small R(2+1)D, from the video-clip-order line of work: one residual block a stage."""

    def __init__(self, *, name: str, input: InputKind) -> None:  # noqa: A002
        super().__init__(name=name, num_features=512, input=input)
        self.stem = FactoredConv(self.num_channels, 64, kernel=(3, 7), stride=(1, 2))
        self.stem_bn = BatchNorm3d(64)
        self.stage1 = FactoredBlock(64, 64, stride=1)
        self.stage2 = FactoredBlock(64, 128, stride=2)
        self.stage3 = FactoredBlock(128, 256, stride=2)
        self.stage4 = FactoredBlock(256, 512, stride=2)
        init_weights(self)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """See `Backbone.stages`."""
        return [self._stem, self.stage1, self.stage2, self.stage3, self.stage4]

    def _stem(self, clips: Tensor) -> Tensor:
        return relu(self.stem_bn(self.stem(clips)))
