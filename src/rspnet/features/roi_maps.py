"""Where in two clips their likeness comes from: maps of overlapping crops, and the paper's maps (METHOD section 4)."""

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
from rspnet.data.cuts import ClipShape
from rspnet.models.heads import Embeddings, Encoder, LinearHead
from rspnet.pretext.rspnet import RSPNet
from rspnet.video.clips import even_clips, tick_frames
from rspnet.video.reader import View, open_video

CROP = 4
"""How many times the side of a crop goes into that of its clip."""
PLACES = 13
"""Crops along each side of a clip."""
WORTH = (
    "In pairs of drawn scenes that share one figure the reddest place is on it in 88 % by motion and 95 % by "
    "appearance (chance 20 %). Where another figure stands in each clip, too, it is on the shared one in 48 % and "
    "65 %, on the other in 27 % and 25 %. Fresh weights find an only figure as often by motion (100 % of 16 pairs), "
    "less often by appearance (69 %): much of a map comes from how it is made. So it says where to look, not when, and "
    "it has a reddest place even where nothing is alike."
)
"""How far the maps of `explain` go, for rspnet-small: benchmarks/roi_places.py, seed 0, 100 pairs of each kind."""


def crop_maps(own: Tensor, other: Tensor) -> Tensor:
    """How well each crop of a clip matches any crop of its partner.

    A crop counts by what sets it apart from the rest of its clip: d_i = (x_i - m) / (|x_i - m| + t), with m the mean of
    the clip's crops and t the median of |x - m| over the crops of both clips; so what is everywhere (scenery, the
    camera's movement, what the borders do to a network) adds nothing, and what hardly differs adds little. The map is
    M_i = max_j d_i . e_j over the partner's crops j, less its mean over places.

    Args:
        own: vectors [N, D] of the crops of the clip to explain.
        other: vectors [M, D] of its partner's.

    Returns:
        [N].
    """
    parts = [vectors - vectors.mean(dim=0) for vectors in (own, other)]
    lengths = [part.norm(dim=1, keepdim=True) for part in parts]
    middle = torch.cat(lengths).median().clamp_min(1e-12)
    mine, theirs = (part / (length + middle) for part, length in zip(parts, lengths, strict=True))
    best: Tensor = (mine @ theirs.T).amax(dim=1)
    return best - best.mean()


def roi_maps(head: nn.Module, features: Tensor, other: Tensor) -> Tensor:
    """The paper's maps: M_i = ((W x_j)^T W) F_i with x_j the pooled map of the partner.

    The projection is linear and the pooling a mean, so the mean of M_i over positions plus `bias_terms` is exactly the
    un-normalised similarity (W x_i + b) . (W x_j + b). NOTE: as fine as the last feature map, which is 1 x 2 x 2 for a
    clip of 48 pixels: `explain` uses `crop_maps`.

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
        repeated: how many of its frames repeat the video's last one, which came too early.
        clip: uint8 [T, S, S, 3], the largest centre square at the network's size.
        detail: uint8 [T, `CROP` S, `CROP` S, 3], the same frames so large that the network can look at parts of them.
        shown: uint8 [T, P, P, 3], the same frames at a size to look at.
    """

    path: Path
    start_s: float
    fps: float
    repeated: int
    clip: NDArray[np.uint8]
    detail: NDArray[np.uint8]
    shown: NDArray[np.uint8]


Pair = tuple[RoiClip, RoiClip]


@dataclass(frozen=True)
class Explanation:
    """A clip's similarity maps with its partner, brought to its frames: float32 [P, P] each, the same at all times.

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


def read_clip(path: Path, shape: ClipShape, *, start_s: float | None = None) -> RoiClip:
    """One clip of a video: from the middle, or from a time; a video that ends early repeats its last frame.

    Raises:
        RSPNetError: the start lies behind the video's end.
        DecodeError: the video cannot be read.
    """
    with open_video(path) as video:
        shown = tick_frames(video.times, shape.fps)
        times = (video.times - video.times[0])[shown]
        if start_s is None:
            (ticks,) = even_clips(
                len(shown), num_frames=shape.num_frames, stride_frames=shape.stride_frames, num_clips=1
            )
        elif start_s > times[-1]:
            raise RSPNetError(f"{str(path)!r}: a clip cannot start at {start_s} s, the video ends at {times[-1]:.2f} s")
        else:
            first = int(np.searchsorted(times, start_s - 1e-6))
            ticks = np.minimum(first + shape.stride_frames * np.arange(shape.num_frames), len(shown) - 1)
        box = centre_square(video.height, video.width)
        sides = (shape.size, CROP * shape.size, _SHOWN_SIDE)
        views = video.read_views([View(shown[ticks].tolist(), box=box, size=(side, side)) for side in sides])
        repeated = int((ticks == len(shown) - 1).sum()) - 1
        return RoiClip(path, float(times[ticks[0]]), video.fps, max(0, repeated), *views)


@torch.no_grad()
def explain(model: RSPNet, first: RoiClip, second: RoiClip) -> tuple[Explanation, Explanation]:
    """Both clips' maps with the other as partner, by `crop_maps`, computed in float32; see `WORTH`."""
    device = next(model.parameters()).device
    encoder = model.encoder_q.eval()
    one, two = (
        encoder.embed_features(
            encoder.backbone.forward_features(normalise(torch.from_numpy(clip.clip)[None].to(device)))
        )
        for clip in (first, second)
    )
    similarities = [float((a * b).sum()) for a, b in ((one.motion, two.motion), (one.appearance, two.appearance))]
    crops = [crop_vectors(encoder, torch.from_numpy(clip.detail).to(device)) for clip in (first, second)]
    found = []
    for own, partner, clip in ((crops[0], crops[1], first), (crops[1], crops[0], second)):
        pairs = (own.motion, partner.motion), (own.appearance, partner.appearance)
        motion, appearance = (_to_frame(crop_maps(*pair), clip.shown.shape[1]) for pair in pairs)
        found.append(Explanation(motion, appearance, *similarities))
    return found[0], found[1]


@torch.no_grad()
def crop_vectors(encoder: Encoder, detail: Tensor) -> Embeddings:
    """What both heads say of the crops of a clip, row after row: [`PLACES`^2, D] each, not made unit vectors.

    Args:
        encoder: a network for clips of S pixels.
        detail: uint8 [T, `CROP` S, `CROP` S, 3].
    """
    size = detail.shape[1] // CROP
    starts = np.linspace(0, detail.shape[1] - size, PLACES).round().astype(int).tolist()
    backbone = encoder.backbone
    appearance, motion = [], []
    for top in starts:
        row = torch.stack([detail[:, top : top + size, left : left + size] for left in starts])
        features = backbone.forward_features(normalise(row))
        appearance.append(encoder.appearance_head(features[:, backbone.appearance_channels]).float())
        motion.append(encoder.motion_head(features[:, backbone.motion_channels]).float())
    return Embeddings(torch.cat(appearance), torch.cat(motion))


def crop_centres() -> NDArray[np.float64]:
    """Where the crops of `crop_vectors` lie: [`PLACES`^2, 2], (y, x) of their middles in sides of the clip."""
    along = np.linspace(0.5 / CROP, 1 - 0.5 / CROP, PLACES)
    return np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2)


def _to_frame(maps: Tensor, side: int) -> NDArray[np.float32]:
    """A map of crops [PLACES^2] at every pixel [P, P]: linear between the middles of crops, fading to the borders."""
    inner = round(side * (1 - 1 / CROP))
    square = maps.reshape(1, 1, PLACES, PLACES).float()
    whole = F.interpolate(square, size=(inner, inner), mode="bilinear", align_corners=True)
    before = (side - inner) // 2
    edges = (before, side - inner - before)
    level = F.pad(whole, (*edges, *edges), mode="replicate")[0, 0].cpu().numpy()
    to_border = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) / max(before, 1)
    fade = np.minimum(to_border, 1)
    return np.asarray(level * fade[:, None] * fade, np.float32)
