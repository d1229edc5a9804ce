"""Projection heads g_a and g_m, and the encoder made of a backbone and both (paper, section 3)."""

from __future__ import annotations

from typing import NamedTuple, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rspnet.core.errors import ConfigError
from rspnet.models.backbone import Backbone
from rspnet.models.conv import Conv3d
from rspnet.models.kinds import HeadKind


class Embeddings(NamedTuple):
    """L2-normalised [B, D] vectors of the appearance (A-VID) and motion (RSP) heads."""

    appearance: Tensor
    motion: Tensor


class LinearHead(nn.Module):
    """Global average, linear map: the published default."""

    def __init__(self, num_features: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, dim)

    def forward(self, features: Tensor) -> Tensor:
        """[B, C, T', H', W'] -> [B, dim], not normalised."""
        return _project(self.linear, pool(features))


class MLPHead(nn.Module):
    """Global average, linear map to as many channels, ReLU, linear map."""

    def __init__(self, num_features: int, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, num_features)
        self.linear = nn.Linear(num_features, dim)

    def forward(self, features: Tensor) -> Tensor:
        """[B, C, T', H', W'] -> [B, dim], not normalised."""
        return _project(self.linear, F.relu(_project(self.hidden, pool(features))))


class ConvHead(nn.Module):
    """3x3x3 convolution, ReLU, 3x3x3 convolution, global average, linear map."""

    def __init__(self, num_features: int, dim: int) -> None:
        super().__init__()
        self.conv1 = Conv3d(num_features, num_features, 3, padding=1)
        self.conv2 = Conv3d(num_features, num_features, 3, padding=1)
        self.linear = nn.Linear(num_features, dim)

    def forward(self, features: Tensor) -> Tensor:
        """[B, C, T', H', W'] -> [B, dim], not normalised."""
        return _project(self.linear, pool(self.conv2(F.relu(self.conv1(features)))))


_HEADS: dict[HeadKind, type[nn.Module]] = {"linear": LinearHead, "mlp": MLPHead, "conv": ConvHead}


def create_head(kind: HeadKind, *, num_features: int, dim: int) -> nn.Module:
    """A head from feature maps of `num_features` channels to `dim` numbers.

    Raises:
        ConfigError: unknown kind.
    """
    if kind not in get_args(HeadKind):
        raise ConfigError(f"unknown head {kind!r}; choose one of {', '.join(get_args(HeadKind))}")
    return _HEADS[kind](num_features, dim)


class Encoder(nn.Module):
    """Backbone f with the heads g_a and g_m, each on its channels of the feature map (all but in a two-stream network).

    Args:
        backbone: f.
        head: which heads, see `create_head`.
        dim: length of the vectors.
    """

    def __init__(self, backbone: Backbone, *, head: HeadKind, dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.appearance_head = _head_on(head, backbone.appearance_channels, dim)
        self.motion_head = _head_on(head, backbone.motion_channels, dim)

    def forward(self, clips: Tensor) -> Embeddings:
        """Clips [B, 3, T, H, W] to unit vectors [B, D], float32 whatever autocast says (float64 in a float64 model)."""
        return self.embed_features(self.backbone.forward_features(clips))

    def embed_features(self, features: Tensor) -> Embeddings:
        """The same from the backbone's last feature map [B, C, T', H', W']."""
        return Embeddings(
            _unit(self.appearance_head(features[:, self.backbone.appearance_channels])),
            _unit(self.motion_head(features[:, self.backbone.motion_channels])),
        )


class StreamVectors(NamedTuple):
    """`Embeddings`, and L2-normalised [B, D] vectors of the A-VID head of the motion stream."""

    appearance: Tensor
    motion: Tensor
    instance: Tensor


class StreamEncoder(Encoder):
    """Encoder of a two-stream network: A-VID teaches the motion stream, too, through a head of its own."""

    def __init__(self, backbone: Backbone, *, head: HeadKind, dim: int) -> None:
        super().__init__(backbone, head=head, dim=dim)
        self.instance_head = _head_on(head, backbone.motion_channels, dim)

    def forward(self, clips: Tensor) -> StreamVectors:  # type: ignore[override]
        """Clips [B, 3, T, H, W] to unit vectors [B, D] of all three heads."""
        features = self.backbone.forward_features(clips)
        instance = _unit(self.instance_head(features[:, self.backbone.motion_channels]))
        return StreamVectors(*self.embed_features(features), instance)


def create_encoder(backbone: Backbone, *, head: HeadKind, dim: int) -> Encoder:
    """The encoder that trains a backbone: with a third head where it has two streams.

    Raises:
        ConfigError: unknown head.
    """
    streams = backbone.motion_channels != backbone.appearance_channels
    return (StreamEncoder if streams else Encoder)(backbone, head=head, dim=dim)


class ProjectionEncoder(nn.Module):
    """Backbone with one head."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, clips: Tensor) -> Tensor:
        """Clips [B, 3, T, H, W] to unit vectors [B, D] in at least float32."""
        return _unit(self.head(self.backbone.forward_features(clips)))


def _head_on(kind: HeadKind, channels: slice, dim: int) -> nn.Module:
    return create_head(kind, num_features=channels.stop - channels.start, dim=dim)


def pool(features: Tensor) -> Tensor:
    """Global average [B, C] of [B, C, T', H', W'], summed in float32 where the map is of lower precision."""
    return features.mean(dim=(2, 3, 4), dtype=torch.promote_types(features.dtype, torch.float32))


def _project(linear: nn.Module, vectors: Tensor) -> Tensor:
    """The linear map in its own precision: its cost is nothing, and 1/temperature magnifies its rounding 14 times."""
    with torch.autocast(vectors.device.type, enabled=False):
        return cast(Tensor, linear(vectors.to(next(linear.parameters()).dtype)))


def _unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1, in at least float32."""
    return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)
