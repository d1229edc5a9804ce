"""Videos whose factors are known and independent of one another, for asking features what they hold.

The procedural set gives motion, speed, texture and background; here every clip also gets a tint, drawn apart from the
rest, and a second part shows one motion only, straight ahead in four directions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.core.files import write_text
from rspnet.core.rng import numpy_rng
from rspnet.data.synthetic.procedural import SPLITS, ProceduralClip, plan_clips, render_frames
from rspnet.video.writer import write_video

MOTION_FACTORS = ("speed", "direction", "motion")
APPEARANCE_FACTORS = ("texture", "colour", "background")
TINTS = {"none": (1.0, 1.0, 1.0), "red": (1.15, 0.85, 0.85), "green": (0.85, 1.15, 0.85), "blue": (0.85, 0.85, 1.15)}
"""Gains of the red, green and blue values of the whole picture."""
DIRECTIONS = ("right", "down", "left", "up")
SPEEDS = ("slow", "middle", "fast")
_COMPLETE = "complete"


@dataclass(frozen=True)
class FactorVideo:
    """One video to write, or written.

    Attributes:
        clip: what to render.
        tint: one of `TINTS`.
        labels: factor -> value. `direction` is that of the straight movement, known for that part of the set alone;
            `speed` is a third of the range, evenly filled; `background` is its family.
    """

    clip: ProceduralClip
    tint: str
    labels: dict[str, str]

    def path(self, root: Path) -> Path:
        """Its file in a written set: MP4 and AVI by turns."""
        return root / self.clip.split / f"{self.clip.name}{'.avi' if self.clip.seed % 2 else '.mp4'}"

    def frames(self) -> NDArray[np.uint8]:
        """The pixels: uint8 RGB [T, H, W, 3]."""
        tinted = render_frames(self.clip).astype(np.float32) * np.array(TINTS[self.tint], np.float32)
        return tinted.clip(0, 255).astype(np.uint8)


def plan_factor_set(*, num_videos: int, seed: int, num_frames: int, size: int) -> list[FactorVideo]:
    """Draw a set, nothing is written: a third of each part is for test, with backgrounds of its own.

    Args:
        num_videos: of the main part; the part that shows directions has half as many more.
        seed: of the set.
        num_frames: of each clip.
        size: height and width in pixels.

    Raises:
        RSPNetError: see `plan_clips`.
    """
    plan = partial(plan_clips, num_frames=num_frames, size=size, test_fraction=1 / 3)
    clips = plan(num_videos=num_videos, seed=seed)
    bounds = np.quantile([clip.speed for clip in clips], [1 / 3, 2 / 3])
    videos = []
    for clip, tint in _with_values(clips, tuple(TINTS), seed):
        labels = {"motion": clip.motion, "texture": clip.texture, "background": clip.background.split("-")[0]}
        speed = SPEEDS[int(np.searchsorted(bounds, clip.speed))]
        videos.append(FactorVideo(clip, tint, labels | {"colour": tint, "speed": speed}))
    for clip, heading in _with_values(plan(num_videos=num_videos // 2, seed=seed + 1), DIRECTIONS, seed):
        angle = DIRECTIONS.index(heading) * math.pi / 2
        moved = replace(clip, name=f"straight_{clip.name}", motion="translate", direction=angle)
        videos.append(FactorVideo(moved, "none", {"direction": heading}))
    return videos


def _with_values(
    clips: Sequence[ProceduralClip], values: tuple[str, ...], seed: int
) -> Iterator[tuple[ProceduralClip, str]]:
    """Every clip with a value drawn apart from all its labels; in each split the counts differ by one at most."""
    for split in SPLITS:
        part = [clip for clip in clips if clip.split == split]
        places = numpy_rng("factor-set", seed, split, *values).permutation(len(part)).tolist()
        yield from ((clip, values[place % len(values)]) for clip, place in zip(part, places, strict=True))


def write_factor_set(root: Path, videos: Sequence[FactorVideo], *, workers: int = 2) -> None:
    """Render and encode all videos below `root`; a set that is complete is left as it is.

    Raises:
        RSPNetError: a file cannot be written.
    """
    if (root / _COMPLETE).exists():
        return
    with ThreadPoolExecutor(max(1, workers)) as pool:  # rendering and encoding release the interpreter lock
        for _ in pool.map(lambda video: write_video(video.path(root), video.frames(), fps=video.clip.fps), videos):
            pass
    write_text(root / _COMPLETE, f"{len(videos)} videos\n")
