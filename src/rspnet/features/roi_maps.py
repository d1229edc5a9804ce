"""Pairwise similarity maps: where in two clips their likeness comes from (METHOD section 4, "RoI maps")."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rspnet.core.errors import RSPNetError
from rspnet.data.augment import centre_square, normalise
from rspnet.models.heads import LinearHead
from rspnet.pretext.rspnet import RSPNet
from rspnet.video.clips import even_clips
from rspnet.video.reader import View, open_video


def roi_maps(head: nn.Module, features: Tensor, other: Tensor) -> Tensor:
    """What in each clip makes it like its partner: M_i = ((W x_j)^T W) F_i with x_j the pooled map of the partner.

    The projection is linear and the pooling a mean, so the mean of M_i over positions plus `bias_terms` is exactly the
    un-normalised similarity (W x_i + b) . (W x_j + b).

    Args:
        head: a linear projection head (appearance for A-VID, motion for RSP).
        features: last feature maps F_i [B, C, T', H', W'] of the clips to explain.
        other: last feature maps [B, C, T'', H'', W''] of their partners.

    Returns:
        [B, T', H', W'], positive where a position adds to the similarity.

    Raises:
        RSPNetError: the head is not linear: its output is then no sum over positions, and there is no exact map.
    """
    weight = _linear(head).weight
    partner = other.mean(dim=(2, 3, 4)) @ weight.T
    return torch.einsum("bc,bcthw->bthw", partner @ weight, features)


def bias_terms(head: nn.Module, features: Tensor, other: Tensor) -> Tensor:
    """The part of the similarity that belongs to no position: b . W x_i + b . W x_j + b . b, [B]."""
    linear = _linear(head)
    both = features.mean(dim=(2, 3, 4)) + other.mean(dim=(2, 3, 4))
    return both @ (linear.bias @ linear.weight) + linear.bias @ linear.bias


def _linear(head: nn.Module) -> nn.Linear:
    if not isinstance(head, LinearHead):
        raise RSPNetError(f"RoI maps need linear heads; this model has {type(head).__name__} (--model.head linear)")
    return head.linear


_SHOWN_SIDE = 224


@dataclass(frozen=True)
class RoiClip:
    """A clip as the network and as a person sees it.

    Attributes:
        path: the video.
        start_s: presentation second of its first frame.
        fps: frames of the video a second.
        clip: uint8 [T, S, S, 3], the largest centre square at the network's size.
        shown: uint8 [T, P, P, 3], the same frames at a size to look at.
    """

    path: Path
    start_s: float
    fps: float
    clip: NDArray[np.uint8]
    shown: NDArray[np.uint8]


Pair = tuple[RoiClip, RoiClip]


@dataclass(frozen=True)
class Explanation:
    """A clip's similarity maps with its partner, brought to its frames: float32 [T, P, P] each.

    Attributes:
        motion: of the RSP head.
        appearance: of the A-VID head.
        motion_similarity: cosine of the two clips by the RSP head.
        appearance_similarity: cosine by the A-VID head.
    """

    motion: NDArray[np.float32]
    appearance: NDArray[np.float32]
    motion_similarity: float
    appearance_similarity: float


def read_clip(path: Path, *, num_frames: int, stride: int, size: int, start_s: float | None = None) -> RoiClip:
    """One clip of a video: from the middle, or from a time; a video that ends early repeats its last frame.

    Raises:
        RSPNetError: the start lies behind the video's end.
        DecodeError: the video cannot be read.
    """
    with open_video(path) as video:
        times = video.times - video.times[0]
        if start_s is None:
            frames = even_clips(len(video), num_frames=num_frames, stride_frames=stride, num_clips=1)[0]
        elif start_s > times[-1]:
            raise RSPNetError(f"{str(path)!r}: a clip cannot start at {start_s} s, the video ends at {times[-1]:.2f} s")
        else:
            first = int(np.searchsorted(times, start_s - 1e-6))
            frames = np.minimum(first + stride * np.arange(num_frames), len(video) - 1)
        box = centre_square(video.height, video.width)
        views = [View(frames.tolist(), box=box, size=(side, side)) for side in (size, _SHOWN_SIDE)]
        clip, shown = video.read_views(views)
        return RoiClip(path, float(times[frames[0]]), video.fps, clip, shown)


@torch.no_grad()
def explain(model: RSPNet, first: RoiClip, second: RoiClip) -> tuple[Explanation, Explanation]:
    """Both clips' maps with the other as partner, computed in float32.

    Raises:
        RSPNetError: the model's heads are not linear.
    """
    device = next(model.parameters()).device
    encoder = model.encoder_q.eval()
    clips = [normalise(torch.from_numpy(clip.clip)[None].to(device)) for clip in (first, second)]
    features = [encoder.backbone.forward_features(clip) for clip in clips]
    one, two = (encoder.embed_features(part) for part in features)
    similarities = [float((a * b).sum()) for a, b in ((one.motion, two.motion), (one.appearance, two.appearance))]
    found = []
    for own, partner, clip in ((features[0], features[1], first), (features[1], features[0], second)):
        channels = encoder.backbone.motion_channels, encoder.backbone.appearance_channels
        maps = [
            roi_maps(head, own[:, seen], partner[:, seen])
            for head, seen in zip((encoder.motion_head, encoder.appearance_head), channels, strict=True)
        ]
        motion, appearance = (_to_frames(part, clip.shown.shape[:3]) for part in maps)
        found.append(Explanation(motion, appearance, *similarities))
    return found[0], found[1]


def _to_frames(maps: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A map [1, T', H', W'] at every frame and pixel [T, P, P], linear in time and space."""
    whole = F.interpolate(maps[None].float(), size=shape, mode="trilinear", align_corners=False)
    return np.asarray(whole[0, 0].cpu().numpy(), np.float32)
