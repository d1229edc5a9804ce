"""`rspnet roi`: where two clips are alike, for both pretext tasks, as a picture and a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from rspnet.config.roi import RoiConfig
from rspnet.core.errors import RSPNetError
from rspnet.core.files import sha256_of
from rspnet.data.augment import centre_square, normalise
from rspnet.engine.runtime import pick_device
from rspnet.pretext.methods import require_heads
from rspnet.pretext.pretrained import load_pretrained, weights_file
from rspnet.pretext.roi import roi_maps
from rspnet.pretext.rspnet import RSPNet
from rspnet.tasks.roi_picture import Row, draw_film, draw_strip
from rspnet.tasks.run_folder import open_run_folder, write_result
from rspnet.video.clips import even_clips
from rspnet.video.reader import View, open_video

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


def roi(config: RoiConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: an unreadable video, a bad checkpoint, or one whose heads are not linear.
    """
    model = require_heads(load_pretrained(config.model), task="roi").to(pick_device(config.device))
    num_frames, size = config.num_frames or model.config["num_frames"], config.size or model.config["size"]
    shape = {"num_frames": num_frames, "stride": config.stride, "size": size}
    first = read_clip(Path(config.first), start_s=config.first_start, **shape)
    second = read_clip(Path(config.second), start_s=config.second_start, **shape)
    folder = open_run_folder(config.out, config, command="roi")
    explanations = explain(model, first, second)
    write_pictures(folder, (first, second), explanations, slow=4 / config.stride)
    own = explanations[0]
    write_result(
        folder,
        command="roi",
        protocol={**shape, "weights_sha256": sha256_of(weights_file(config.model))},
        results={
            "clips": [{"path": str(clip.path), "start_s": clip.start_s} for clip in (first, second)],
            "motion_similarity": own.motion_similarity,
            "appearance_similarity": own.appearance_similarity,
            "files": ["roi.png", "roi.mp4"],
        },
    )
    text = f"motion {own.motion_similarity:.3f}, appearance {own.appearance_similarity:.3f}: {folder / 'roi.png'}"
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)


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
        maps = [roi_maps(head, own, partner) for head in (encoder.motion_head, encoder.appearance_head)]
        motion, appearance = (_to_frames(part, clip.shown.shape[:3]) for part in maps)
        found.append(Explanation(motion, appearance, *similarities))
    return found[0], found[1]


def write_pictures(folder: Path, clips: Pair, explanations: tuple[Explanation, Explanation], *, slow: float) -> None:
    """Write roi.png (frames over time) and roi.mp4 (at 1 / `slow` of the first video's pace)."""
    write_strip(folder / "roi.png", clips, explanations)
    write_film(folder / "roi.mp4", clips, explanations, slow=slow)


def write_strip(path: Path, clips: Pair, explanations: tuple[Explanation, Explanation]) -> None:
    """Write the maps over frames of both clips, over time, as a PNG."""
    own = explanations[0]
    scores = f"cosine: motion {own.motion_similarity:.3f}, appearance {own.appearance_similarity:.3f}"
    draw_strip(path, _rows(clips, explanations), title=f"What makes these clips alike   ·   {scores}")


def write_film(path: Path, clips: Pair, explanations: tuple[Explanation, Explanation], *, slow: float) -> None:
    """Write the maps over both clips as an MP4, at 1 / `slow` of the first video's pace."""
    draw_film(path, _rows(clips, explanations), fps=max(1.0, clips[0].fps / slow))


def _rows(clips: Pair, explanations: tuple[Explanation, Explanation]) -> list[Row]:
    return [
        (
            f"{clip.path.name} at {clip.start_s:.2f} s",
            clip.shown,
            {"motion (RSP)": explanation.motion, "appearance (A-VID)": explanation.appearance},
        )
        for clip, explanation in zip(clips, explanations, strict=True)
    ]


def _to_frames(maps: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A map [1, T', H', W'] at every frame and pixel [T, P, P], linear in time and space."""
    whole = F.interpolate(maps[None].float(), size=shape, mode="trilinear", align_corners=False)
    return np.asarray(whole[0, 0].cpu().numpy(), np.float32)
