"""Two small networks in one: motion from differences of frames, appearance from a few frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rspnet.models.backbone import Backbone
from rspnet.models.kinds import InputKind
from rspnet.models.resnet3d import BasicBlock, FlatBlock, ResNet3D

_FRAMES = 2
"""Frames that the appearance stream sees: the middles of as many equal parts of a clip."""
_MOTION_WIDTHS = (32, 64, 128, 256)
_APPEARANCE_WIDTHS = (24, 48, 64, 96)


class TwoStream(Backbone):
    """A slim R3D on what `input` says and a slim flat ResNet on a few RGB frames, side by side in the feature map.

    The stems are small (3x5x5, 1x5x5): at 48 pixels a side one of 7x7x7 is two thirds of a slim network's work.

    The streams share nothing, so that each space keeps what it is for: the motion head reads the first channels, the
    appearance head the last ones.

    Args:
        name: see `Backbone`.
        input: what the motion stream sees; the appearance stream always sees frames.
    """

    def __init__(self, *, name: str, input: InputKind) -> None:  # noqa: A002
        first, last = _MOTION_WIDTHS[-1], _APPEARANCE_WIDTHS[-1]
        super().__init__(name=name, num_features=first + last, input=input)
        depths = (1, 1, 1, 1)
        self.motion = ResNet3D(
            name=name, input=input, block=BasicBlock, depths=depths, widths=_MOTION_WIDTHS, stem=(3, 5, 5)
        )
        self.appearance = ResNet3D(
            name=name, input="rgb", block=FlatBlock, depths=depths, widths=_APPEARANCE_WIDTHS, stem=(1, 5, 5)
        )
        self.motion_channels, self.appearance_channels = slice(0, first), slice(first, first + last)
        self.num_early = 2 * sum(_MOTION_WIDTHS[1:-1])

    def forward_features(self, clips: Tensor) -> Tensor:
        """Last feature maps of both streams, one behind the other: [B, C, T', H', W']; see `Backbone`.

        The appearance map is the mean over its frames, the same at every time.
        """
        self.motion.recompute = self.appearance.recompute = self.recompute
        return self._feature_map(clips)

    def forward_described(self, clips: Tensor) -> Tensor:
        """The same map, and behind it of the motion stream's second and third stage what is the same everywhere.

        Of each stage the mean over the clip, then how fast the mean over a picture changes within the clip (root mean
        square from a step of time to the next). What is behind the last stage is nearest to the pretext tasks; stages
        before it say more of what is done.
        """
        stem, first, *early, last = self.motion.stages()
        maps = [first(stem(self.motion.seen(clips)))]
        for stage in early:
            maps.append(stage(maps[-1]))
        motion = last(maps[-1])
        said = torch.cat([part for stage in maps[1:] for part in _mean_and_change(stage)], dim=1).to(motion.dtype)
        everywhere = said[:, :, None, None, None].expand(-1, -1, *motion.shape[2:])
        return torch.cat([self._with_appearance(motion, clips), everywhere], dim=1)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """A single one: the streams run side by side."""
        return [self._both]

    def _both(self, clips: Tensor) -> Tensor:
        return self._with_appearance(self.motion.forward_features(clips), clips)

    def _with_appearance(self, motion: Tensor, clips: Tensor) -> Tensor:
        length = clips.shape[2]
        places = [(2 * k + 1) * length // (2 * _FRAMES) for k in range(_FRAMES)]
        look = self.appearance.forward_features(clips[:, :, places]).mean(dim=2, keepdim=True)
        return torch.cat([motion, look.expand(-1, -1, motion.shape[2], -1, -1)], dim=1)


def _mean_and_change(stage: Tensor) -> tuple[Tensor, Tensor]:
    """A map [B, C, T, H, W] -> its mean, and the root mean square of its change in time, both float32 [B, C]."""
    pictures = stage.float().mean(dim=(3, 4))
    steps = pictures[:, :, 1:] - pictures[:, :, :-1]
    return pictures.mean(dim=2), (steps.square().sum(dim=2) / max(1, steps.shape[2])).sqrt()
