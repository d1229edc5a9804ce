"""A public, seeded set of procedural videos whose motion, texture, speed and direction are known exactly.

One textured shape moves over a drifting textured background. Motion class and texture are drawn balanced and
independent of one another, of shape, speed, background and container, so that a score by motion says nothing about
appearance and the other way round. Speeds are log-uniform over 2.4 octaves: played twice as fast, most clips are still
at a speed that others have natively, so the size of the frame differences alone cannot give the playback speed.

`plan_clips` is pure, `render_frames` gives the pixels, `write_set` writes real MP4 and AVI files with `clips.csv`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.rng import derive_seed, numpy_rng
from rspnet.data.synthetic import procedural_scene
from rspnet.data.synthetic.labelled_set import Record, read_drawn, write_labelled
from rspnet.data.synthetic.procedural_scene import BACKGROUNDS, MOTIONS, SHAPES, TEXTURES
from rspnet.video.writer import write_video

SPLITS = ("train", "test")
MIN_SPEED, MAX_SPEED = 1 / 128, 1 / 24
"""Range of speeds, in picture sides per frame: 0.75 to 4 pixels at 96."""
CLIPS_PER_BACKGROUND = 4
"""Clips that share a background picture, so that the background alone never names the clip."""
FRAMES_PER_SECOND = 25


@dataclass(frozen=True)
class ProceduralClip:
    """All that defines one clip; the same values give the same bytes of frames.

    Attributes:
        name: unique in its set; the file is `<split>/<name>.mp4` or `.avi`.
        motion: one of `MOTIONS`.
        texture: one of `TEXTURES` (pattern and colours of the moving object).
        shape: one of `SHAPES`.
        speed: root mean square speed over whole periods in pixels per frame: of the centre (translate, oscillate,
            bounce, orbit), of the rim (rotate), of the box's side length (zoom).
        direction: radians, 0 to the right, pi/2 down: heading (translate), first heading on the axis (oscillate), drift
            of the hops, 0 or pi (bounce). For rotate and orbit 0 is clockwise, pi counter-clockwise; for zoom 0 is
            at first growing, pi at first shrinking.
        background: `<family>-<number>`; the two splits share no background.
        distractor: `<shape>-<texture>` of a static object in the picture, or empty.
        split: "train" or "test".
        num_frames: length.
        fps: frames per second.
        size: height and width in pixels.
        seed: of all that has no label: start, phase, object size, background drift, colour variation.
    """

    name: str
    motion: str
    texture: str
    shape: str
    speed: float
    direction: float
    background: str
    distractor: str
    split: str
    num_frames: int
    fps: int
    size: int
    seed: int


ProceduralRecord = Record[ProceduralClip]
"""One line of a written set: the video file and the clip it shows."""


def plan_clips(
    *,
    num_videos: int,
    seed: int,
    num_frames: int = 64,
    size: int = 96,
    test_fraction: float = 0.25,
    distractor_fraction: float = 0.0,
) -> list[ProceduralClip]:
    """Draw the labels of a whole set; nothing is rendered or written.

    Within each split the counts of motions, of textures and of their pairs differ by at most one, in any prefix of the
    unshuffled draw; the order of the list is random. Test clips have backgrounds and seeds that no training clip has.

    Args:
        num_videos: clips in all, both splits.
        seed: of the set.
        num_frames: frames of each clip, at least 2.
        size: height and width in pixels, even (the codecs need it), at least 32.
        test_fraction: share of test clips.
        distractor_fraction: share of clips with a static textured object of another texture and shape.

    Raises:
        RSPNetError: an argument is out of its range.
    """
    _check_plan(num_videos, num_frames, size, test_fraction, distractor_fraction)
    num_test = round(num_videos * test_fraction)
    clips: list[ProceduralClip] = []
    for split, count in (("train", num_videos - num_test), ("test", num_test)):
        clips += _plan_split(
            split, count, seed=seed, num_frames=num_frames, size=size, distractor_fraction=distractor_fraction
        )
    return clips


def _check_plan(num_videos: int, num_frames: int, size: int, test_fraction: float, distractor_fraction: float) -> None:
    if num_videos < 1:
        raise RSPNetError(f"num_videos is {num_videos}; it must be at least 1")
    if num_frames < 2:
        raise RSPNetError(f"num_frames is {num_frames}; it must be at least 2")
    if size < 32 or size % 2:
        raise RSPNetError(f"size is {size}; it must be even and at least 32")
    for name, share in (("test_fraction", test_fraction), ("distractor_fraction", distractor_fraction)):
        if not 0 <= share <= 1:
            raise RSPNetError(f"{name} is {share}; it must be between 0 and 1")


def _plan_split(
    split: str, count: int, *, seed: int, num_frames: int, size: int, distractor_fraction: float
) -> list[ProceduralClip]:
    rng = numpy_rng("procedural-plan", seed, split)
    motions = rng.permutation(MOTIONS)
    textures = rng.permutation(TEXTURES)
    places = rng.permutation(count)  # where the k-th draw stands in the list: ties no label to the container
    num_backgrounds = math.ceil(count / CLIPS_PER_BACKGROUND)
    backgrounds = rng.permutation(count) % num_backgrounds if count else np.empty(0, np.int64)
    shapes = rng.permutation(count) % len(SHAPES)
    with_distractor = set(rng.permutation(count)[: round(count * distractor_fraction)].tolist())
    cycle = math.lcm(len(motions), len(textures))
    drawn: dict[int, ProceduralClip] = {}
    for k in range(count):
        motion = str(motions[k % len(motions)])
        texture = str(textures[(k + k // cycle) % len(textures)])
        shape = SHAPES[shapes[k]]
        speed = size * MIN_SPEED * (MAX_SPEED / MIN_SPEED) ** float(rng.random())
        heading = int(rng.integers(8)) if motion in ("translate", "oscillate") else 4 * int(rng.integers(2))
        distractor = _draw_distractor(rng, shape, texture) if k in with_distractor else ""
        place = int(places[k])
        drawn[place] = ProceduralClip(
            name=f"{split}_{place:05d}_{motion}_{texture}",
            motion=motion,
            texture=texture,
            shape=shape,
            speed=speed,
            direction=heading * math.pi / 4,
            background=_background_name(seed, split, int(backgrounds[k])),
            distractor=distractor,
            split=split,
            num_frames=num_frames,
            fps=FRAMES_PER_SECOND,
            size=size,
            seed=derive_seed("procedural-clip", seed, split, k),
        )
    return [drawn[place] for place in range(count)]


def _background_name(seed: int, split: str, number: int) -> str:
    """Even numbers are for training, odd ones for test: disjoint within a set and between sets of any seeds."""
    unique = 2 * (derive_seed("procedural-background", seed, number) % 10**6) + SPLITS.index(split)
    return f"{BACKGROUNDS[number % len(BACKGROUNDS)]}-{unique}"


def _draw_distractor(rng: np.random.Generator, shape: str, texture: str) -> str:
    other_shapes = [name for name in SHAPES if name != shape]
    other_textures = [name for name in TEXTURES if name != texture]
    return f"{other_shapes[rng.integers(len(other_shapes))]}-{other_textures[rng.integers(len(other_textures))]}"


def render_frames(clip: ProceduralClip) -> NDArray[np.uint8]:
    """The clip's pixels: uint8 RGB [T, H, W, 3]."""
    return procedural_scene.render(_scene(clip))


def boxes(clip: ProceduralClip) -> NDArray[np.float64]:
    """The moving object's box in each frame: [T, 4] of (top, left, height, width) in pixels.

    It is the square around the circle through the shape's outermost points; pixel (0, 0) covers [0, 1) x [0, 1). For
    translate and bounce the picture is a torus: what leaves on one side comes in on the other at once. The box is then
    that of the copy whose centre is in the picture, and may stick out of it.
    """
    return procedural_scene.object_boxes(_scene(clip))


def distractor_box(clip: ProceduralClip) -> NDArray[np.float64] | None:
    """The static object's box [4] (top, left, height, width) in pixels, or None for a clip without one."""
    return procedural_scene.still_object_box(_scene(clip))


def _scene(clip: ProceduralClip) -> procedural_scene.Scene:
    return procedural_scene.Scene(
        motion=clip.motion,
        texture=clip.texture,
        shape=clip.shape,
        speed=clip.speed,
        direction=clip.direction,
        background=clip.background,
        distractor=clip.distractor,
        num_frames=clip.num_frames,
        size=clip.size,
        seed=clip.seed,
    )


def write_set(root: Path, clips: Sequence[ProceduralClip], *, workers: int = 2) -> Path:
    """Render and encode all clips under `root`; see `write_labelled`."""
    return write_labelled(root, clips, render_frames, fps=FRAMES_PER_SECOND, workers=workers)


def write_clip(path: Path, clip: ProceduralClip) -> None:
    """Render and encode one clip; the ending of `path` chooses container and codec."""
    write_video(path, render_frames(clip), fps=clip.fps)


def read_set(root: Path) -> list[ProceduralRecord]:
    """A written set; see `read_drawn`."""
    return read_drawn(root, ProceduralClip)
