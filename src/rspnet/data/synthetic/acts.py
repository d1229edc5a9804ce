"""A public, seeded set of drawn people whose act, outfit and place are known: what people do, and how it looks.

A jointed figure does one of eight acts in one of six outfits at one of six places. Act, outfit and place are drawn
balanced and independent of one another, of view, tempo and phase, so that a score by act says nothing about looks and
the other way round. Test videos have scenery that no training video has (of the same kinds of places).

`plan_acts` is pure, `render_act` gives the pixels, `write_acts` real MP4 and AVI files with `clips.csv`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.rng import derive_seed, numpy_rng
from rspnet.data.synthetic.acting import Floats, Limb, Part, figure_parts, rotation, strike
from rspnet.data.synthetic.acting_picture import FRAMES_PER_SECOND, Paint, background, draw_part
from rspnet.data.synthetic.labelled_set import Record, read_drawn, write_labelled

ACTS = ("bow", "jumping jack", "kick", "punch", "spin", "squat", "walk", "wave")
OUTFITS = {
    "blue shirt": ((0.15, 0.3, 0.85), (0.1, 0.1, 0.15)),
    "green shirt": ((0.1, 0.6, 0.25), (0.85, 0.8, 0.7)),
    "red shirt": ((0.85, 0.1, 0.1), (0.15, 0.2, 0.45)),
    "striped shirt": ((0.95, 0.95, 0.95), (0.1, 0.1, 0.1)),
    "white shirt": ((0.95, 0.95, 0.93), (0.55, 0.2, 0.6)),
    "yellow shirt": ((0.95, 0.8, 0.1), (0.35, 0.2, 0.1)),
}
"""Colours of shirt and trousers."""
PLACES = {
    "brick": ((0.45, 0.18, 0.12), (0.8, 0.5, 0.4)),
    "lawn": ((0.1, 0.3, 0.08), (0.5, 0.7, 0.3)),
    "night": ((0.02, 0.03, 0.08), (0.25, 0.25, 0.35)),
    "sand": ((0.6, 0.48, 0.28), (0.95, 0.85, 0.62)),
    "sea": ((0.05, 0.25, 0.4), (0.45, 0.75, 0.85)),
    "snow": ((0.68, 0.72, 0.78), (0.98, 0.98, 1.0)),
}
"""Darkest and lightest colour of the scenery."""
LABELS = {"act": ACTS, "outfit": tuple(OUTFITS), "place": tuple(PLACES)}
"""Attributes of a clip that are its labels -> their values."""
MIN_PERIOD, MAX_PERIOD = 16.0, 34.0
"""Frames of one cycle of an act."""
_SKIN = ((0.95, 0.76, 0.62), (0.75, 0.53, 0.38), (0.45, 0.3, 0.2))
_X, _Y, _Z = np.eye(3)
_TRUNK, _UPPER_ARM, _FOREARM, _THIGH, _SHANK = 0.32, 0.17, 0.17, 0.24, 0.24


@dataclass(frozen=True)
class ActClip:
    """All that defines one video.

    Attributes:
        name: unique in its set; the file is `<split>/<name>.mp4` or `.avi`.
        act: one of `ACTS`.
        outfit: one of `OUTFITS`.
        place: one of `PLACES`.
        split: "train" or "test".
        num_frames: length.
        size: height and width in pixels.
        seed: of all that has no label: view, tempo, phase, build, scenery.
    """

    name: str
    act: str
    outfit: str
    place: str
    split: str
    num_frames: int
    size: int
    seed: int


ActRecord = Record[ActClip]
"""One line of a written set: the video file and the clip it shows."""


def plan_acts(
    *, num_videos: int, seed: int, num_frames: int = 80, size: int = 96, test_fraction: float = 0.25
) -> list[ActClip]:
    """Draw the labels of a whole set; nothing is rendered.

    Counts of acts, of outfits and of places differ by at most one within a split.

    Raises:
        RSPNetError: fewer than one video, or a size that is odd or below 32.
    """
    if num_videos < 1 or num_frames < 2 or size < 32 or size % 2 or not 0 <= test_fraction <= 1:
        raise RSPNetError(
            f"a set of {counted(num_videos, 'video')} of {counted(num_frames, 'frame')} and "
            f"{counted(size, 'pixel')}, {test_fraction} of them for "
            "testing: at least 1 video, 2 frames and 32 pixels (an even number), and a share from 0 to 1 are needed"
        )
    num_test = round(num_videos * test_fraction)
    clips = []
    for split, count in (("train", num_videos - num_test), ("test", num_test)):
        rng = numpy_rng("acts-plan", seed, split)
        columns = [[kinds[k % len(kinds)] for k in rng.permutation(count)] for kinds in LABELS.values()]
        for k, (act, outfit, place) in enumerate(zip(*columns, strict=True)):
            name = f"{split}_{k:05d}_{act.replace(' ', '-')}"
            own = derive_seed("acts-clip", seed, split, k)
            clips.append(ActClip(name, act, outfit, place, split, num_frames, size, own))
    return clips


def render_act(clip: ActClip) -> NDArray[np.uint8]:
    """The video's pixels: uint8 RGB [T, H, W, 3]."""
    rng = numpy_rng("acts-picture", clip.seed)
    _, frames = background(rng, num_frames=clip.num_frames, size=clip.size, colours=PLACES[clip.place])
    body = act_paints(clip.outfit, rng)
    for part in act_parts(clip):
        draw_part(frames, part, offset=np.zeros((clip.num_frames, 2)), paint=body[part.paint])
    frames += 0.01 * rng.standard_normal(frames.shape, dtype=np.float32)
    return np.asarray((np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8))


def act_paints(outfit: str, rng: np.random.Generator) -> dict[int, Paint]:
    """How the parts of a figure in an outfit look; the skin is drawn."""
    shirt, trousers = OUTFITS[outfit]
    skin = Paint(_SKIN[rng.integers(len(_SKIN))], (0, 0, 0))
    return {
        0: Paint(shirt, trousers, "along" if outfit == "striped shirt" else "plain", wave=9.0),
        1: skin,
        2: Paint(trousers, shirt),
        3: skin,
    }


def act_parts(clip: ActClip) -> list[Part]:
    """The figure's limbs, far ones first."""
    rng = numpy_rng("acts-motion", clip.seed)
    time = np.arange(clip.num_frames)
    phase = time / (MIN_PERIOD * (MAX_PERIOD / MIN_PERIOD) ** rng.random()) + rng.random()
    pose = _pose(clip.act, phase, side=int(rng.choice([-1, 1])), reach=rng.uniform(0.85, 1.15))
    azimuth = rng.uniform(-1.0, 1.0) + pose.get("azimuth", 0 * phase)
    view = rotation(_X, 0 * phase + rng.uniform(0.0, 0.3)) @ rotation(_Y, azimuth)
    height = rng.uniform(0.68, 0.88) + 0 * phase
    rise = pose.get("rise", 0 * phase)
    where = np.array([0.55, 0.5]) + rng.normal(0, 0.03, 2) - np.stack([height * rise, 0 * rise], axis=1)
    return figure_parts(_limbs(pose, wide=rng.uniform(0.85, 1.25)), view, where, height)


def _pose(act: str, phase: Floats, *, side: int, reach: float) -> dict[str, Floats]:
    """Joint angles in radians [T] by joint, `l` and `r`: `arm` (forwards), `raise` (sideways), `elbow`, `leg`
    (forwards), `spread` (sideways), `knee`; `lean` and `rise` (in heights), `azimuth`. What is left out rests.
    """  # fmt: skip
    swing = np.sin(2 * math.pi * phase)
    smooth = reach * (1 - np.cos(2 * math.pi * phase)) / 2  # 0..1 and back
    one, other = ("l", "r") if side < 0 else ("r", "l")
    hit = (strike(phase % 1.0, rise=0.2, fall=0.45) + 1) / 2 * reach
    late = (strike((phase + 0.5) % 1.0, rise=0.2, fall=0.45) + 1) / 2 * reach
    if act == "bow":
        return {"lean": 1.35 * smooth, "arm l": 1.0 * smooth, "arm r": 1.0 * smooth}
    if act == "jumping jack":
        up = {f"raise {s}": 0.15 + 2.6 * smooth for s in "lr"} | {f"spread {s}": 0.05 + 0.5 * smooth for s in "lr"}
        return up | {"rise": 0.05 * np.abs(swing)}
    if act == "kick":
        return {f"leg {one}": 1.6 * hit, f"knee {one}": 0.9 * hit * (1 - hit), "lean": -0.25 * hit}
    if act == "punch":
        arms = {f"arm {one}": 0.3 + 1.25 * hit, f"elbow {one}": 2.1 * (1.15 - hit)}
        return arms | {f"arm {other}": 0.3 + 1.25 * late, f"elbow {other}": 2.1 * (1.15 - late)}
    if act == "spin":
        return {"azimuth": side * 2 * math.pi * phase} | {f"raise {s}": 1.45 + 0 * phase for s in "lr"}
    if act == "squat":
        bend = 1.25 * smooth
        legs = {f"leg {s}": bend for s in "lr"} | {f"knee {s}": 2 * bend for s in "lr"}
        return legs | {f"arm {s}": 1.4 * smooth for s in "lr"} | {"rise": -2 * _THIGH * (1 - np.cos(bend))}
    if act == "walk":
        steps = {"leg l": 0.65 * reach * swing, "leg r": -0.65 * reach * swing}
        knees = {"knee l": 0.5 * (1 - swing), "knee r": 0.5 * (1 + swing)}
        return steps | knees | {"arm l": -0.6 * reach * swing, "arm r": 0.6 * reach * swing}
    if act == "wave":
        return {f"raise {one}": 2.1 + 0 * phase, f"tilt {one}": 0.3 + 0.75 * reach * swing}
    raise ValueError(f"unknown act {act!r}")


def _limbs(pose: dict[str, Floats], *, wide: float) -> list[Limb]:
    """Trunk, head, arms and legs in a pose; about 1 high, the hip at the root."""
    still = 0 * next(iter(pose.values()))
    nothing = np.zeros(3)
    limbs = [
        Limb(-1, 0, _TRUNK * _Y, nothing, (0.075 * wide, 0.09 * wide), 0, _X, pose.get("lean", still)),
        Limb(0, 1, 0.1 * _Y, 0.05 * _Y, (0.05, 0.065), 1, _X, still),
    ]
    for name, side in (("l", -1), ("r", 1)):
        shoulder = np.array([0.115 * side * wide, -0.03, 0])
        first = len(limbs)
        outwards, forwards = side * pose.get(f"raise {name}", 0.12 + still), -pose.get(f"arm {name}", still)
        limbs += [
            # Two turns at one joint: a limb of no length, then the arm.
            Limb(0, 1, nothing, shoulder, (0.01, 0.01), 0, _Z, outwards),
            Limb(first, 1, -_UPPER_ARM * _Y, nothing, (0.038, 0.032), 0, _X, forwards),
            Limb(first + 1, 1, nothing, nothing, (0.01, 0.01), 3, _Z, side * pose.get(f"tilt {name}", still)),
            Limb(first + 2, 1, -_FOREARM * _Y, nothing, (0.03, 0.026), 3, _X, -pose.get(f"elbow {name}", 0.15 + still)),
        ]
        first = len(limbs)
        hip = np.array([0.06 * side * wide, 0, 0])
        limbs += [
            Limb(-1, 0, nothing, hip, (0.01, 0.01), 2, _Z, side * pose.get(f"spread {name}", 0.04 + still)),
            Limb(first, 1, -_THIGH * _Y, nothing, (0.055, 0.045), 2, _X, -pose.get(f"leg {name}", still)),
            Limb(first + 1, 1, -_SHANK * _Y, nothing, (0.045, 0.035), 2, _X, pose.get(f"knee {name}", still)),
        ]
    return limbs


def write_acts(root: Path, clips: Sequence[ActClip], *, workers: int = 2) -> Path:
    """Render and encode all videos below `root`; see `write_labelled`."""
    return write_labelled(root, clips, render_act, fps=FRAMES_PER_SECOND, workers=workers)


def read_acts(root: Path) -> list[ActRecord]:
    """A written set; see `read_drawn`."""
    return read_drawn(root, ActClip)
