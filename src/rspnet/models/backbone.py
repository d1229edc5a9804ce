"""What every backbone is: a network from clips to its last feature map."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rspnet.core.errors import ConfigError
from rspnet.models.kinds import InputKind
from rspnet.models.recompute import run_and_forget

_LEAST_DEVIATION = 1e-3


class Backbone(nn.Module):
    """Base of all backbones.

    Attributes:
        name: the name `create_backbone` knows it by.
        num_features: channels C of the last feature map.
        input: what it sees of a clip, see `InputKind`.
        num_channels: of what it sees: 3, or 6 for "both" and "moving".
        motion_channels: which of the C channels the motion head sees, and features for motion are made of: all.
        appearance_channels: which ones the appearance head sees: all.
        num_early: channels that `forward_described` adds behind the last map, said of earlier stages: none. They belong
            to motion.
        recompute: activation checkpointing: in training only what passes between stages is kept for the backward pass,
            which computes the rest again.
    """

    def __init__(self, *, name: str, num_features: int, input: InputKind) -> None:  # noqa: A002
        super().__init__()
        self.name = name
        self.num_features = num_features
        self.input = input
        self.num_channels = 6 if input in ("both", "moving") else 3
        self.motion_channels, self.appearance_channels = slice(0, num_features), slice(0, num_features)
        self.num_early = 0
        self.recompute = False

    def forward_features(self, clips: Tensor) -> Tensor:
        """Last feature map [B, C, T', H', W'] of clips [B, 3, T, H, W] (normalised RGB, whatever `input` is).

        Where clips or weights are float64, the clips are converted to the weights' format.

        Raises:
            ConfigError: the stages of a backbone from outside give another shape.
        """
        return self._feature_map(self.seen(clips))

    def forward_described(self, clips: Tensor) -> Tensor:
        """What descriptors of videos are made of: [B, C + num_early, T', H', W'], the last map, and what is added."""
        return self.forward_features(clips)

    def seen(self, clips: Tensor) -> Tensor:
        """What `input` says that the network sees of clips [B, 3, T, H, W]."""
        weights = next(self.parameters()).dtype
        if torch.float64 in (clips.dtype, weights):
            clips = clips.to(weights)
        if self.input == "scaled_difference":
            clips = clips / clips.std(dim=(1, 2, 3, 4), keepdim=True).clamp_min(_LEAST_DEVIATION)
        if self.input in ("difference", "scaled_difference"):
            clips = _change(clips)
        elif self.input == "both":
            clips = torch.cat([clips[:, :, 1:], _change(clips)], dim=1)
        elif self.input == "moving":
            clips = moving_colours(clips)
        return clips

    def _feature_map(self, clips: Tensor) -> Tensor:
        forget = self.recompute and self.training and torch.is_grad_enabled()
        for stage in self.stages():
            clips = run_and_forget(stage, clips) if forget else stage(clips)
        if clips.dim() != 5 or clips.shape[1] != self.num_features:
            raise ConfigError(
                f"backbone {self.name!r}: its stages end with {list(clips.shape)}, but must with [B, C, T, H, W] of "
                f"C = num_features = {self.num_features} channels"
            )
        return clips

    def forward(self, clips: Tensor) -> Tensor:
        """The same as `forward_features`: a backbone has no classifier of its own."""
        return self.forward_features(clips)

    @abstractmethod
    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """The network proper, in parts that run one after the other."""
        raise NotImplementedError


def moving_colours(clips: Tensor) -> Tensor:
    """[B, 3, T, H, W] -> [B, 6, T-1, H, W]: colours weighted by change, and the change itself.

    What stands still is zero in all channels: static scenery, the easiest sign of a video, is not there to be learned.
    """
    change = _change(clips)
    amount = change.abs().mean(dim=1, keepdim=True)
    share = amount / (amount.amax(dim=(2, 3, 4), keepdim=True) + 1e-6)
    return torch.cat([clips[:, :, 1:] * share, change], dim=1)


def _change(clips: Tensor) -> Tensor:
    """From each frame to the next: [B, 3, T, H, W] -> [B, 3, T-1, H, W]."""
    return clips[:, :, 1:] - clips[:, :, :-1]


def init_weights(module: nn.Module) -> None:
    """He et al. normal initialisation by fan-out of every convolution; biases 0, batch norms 1 and 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm3d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
