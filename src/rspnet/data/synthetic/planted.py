"""Pairs of clips in which a drawn figure is planted at known places: what an explanation of likeness has to find.

Both clips of a pair have a figure at a place of its own before scenery of their own. The two figures share their act,
their outfit, both or nothing; a second figure, different in the two clips, may stand beside each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.rng import numpy_rng
from rspnet.data.synthetic.acting import Capsule
from rspnet.data.synthetic.acting_picture import Pixels, background, draw_part
from rspnet.data.synthetic.acts import ACTS, OUTFITS, PLACES, ActClip, act_paints, act_parts

Shared = Literal["act and outfit", "act", "outfit", "nothing", "no figure"]
_ALONE, _WITH_ANOTHER = 0.6, 0.46
"""Side of the square that a figure is drawn in, in sides of the picture."""
_SEEN = 0.02


@dataclass(frozen=True)
class PlantedClip:
    """A clip and its figures.

    Attributes:
        frames: uint8 [T, H, W, 3].
        boxes: bool [n, H, W], where each figure is at some time, as a box; the first one's counterpart is the first of
            the pair's other clip.
    """

    frames: NDArray[np.uint8]
    boxes: NDArray[np.bool_]


def planted_pair(
    number: int, *, shared: Shared, another: bool, seed: int, size: int = 96, num_frames: int = 32
) -> tuple[PlantedClip, PlantedClip]:
    """Draw a pair; equal arguments give equal bytes.

    Args:
        number: of the pair.
        shared: what the two figures have in common; "no figure" is scenery alone.
        another: whether a second figure stands in each clip, in another outfit and with another act.
        seed: of all pairs.
        size: height and width in pixels.
        num_frames: length.

    Raises:
        RSPNetError: `shared` is none of those.
    """
    if shared not in get_args(Shared):
        raise RSPNetError(f"shared is {shared!r}; it must be one of {', '.join(get_args(Shared))}")
    rng = numpy_rng("planted", seed, number, shared, int(another))
    acts, outfits = (list(map(str, rng.permutation(list(kinds)))) for kinds in (ACTS, OUTFITS))
    own, others = rng.integers(2**31, size=2).tolist(), rng.integers(2**31, size=2).tolist()
    moves, looks = "act" in shared.split(), "outfit" in shared.split()
    clips = []
    for side in (0, 1):
        k = 3 * side
        act, motion_seed = (acts[0], own[0]) if moves or not side else (acts[3], others[0])
        outfit, paint_seed = (outfits[0], own[1]) if looks or not side else (outfits[3], others[1])
        figures = [(ActClip("", act, outfit, "", "train", num_frames, size, motion_seed), paint_seed)]
        if another:
            extra = int(rng.integers(2**31))
            figures.append((ActClip("", acts[1 + k], outfits[1 + k], "", "train", num_frames, size, extra), extra))
        clips.append(_draw(rng, [] if shared == "no figure" else figures, num_frames=num_frames, size=size))
    return clips[0], clips[1]


def _draw(
    rng: np.random.Generator, figures: Sequence[tuple[ActClip, int]], *, num_frames: int, size: int
) -> PlantedClip:
    _, frames = background(rng, num_frames=num_frames, size=size, colours=PLACES[str(rng.choice(list(PLACES)))])
    side = _WITH_ANOTHER if len(figures) > 1 else _ALONE
    corners = _corners(rng, len(figures), side)
    boxes = [_figure(frames, *figure, corner, side) for figure, corner in zip(figures, corners, strict=True)]
    frames += 0.01 * rng.standard_normal(frames.shape, dtype=np.float32)
    pixels = (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8)
    return PlantedClip(pixels, np.array(boxes, bool).reshape(len(boxes), size, size))


def _corners(rng: np.random.Generator, count: int, side: float) -> NDArray[np.float64]:
    """Where the squares of figures lie, drawn until they do not overlap (much): [count, 2] of (y, x)."""
    while True:
        corners = rng.uniform(-0.05, 1.05 - side, (count, 2))
        if count < 2 or np.abs(corners[0] - corners[1]).max() > 0.95 * side:
            return corners


def _figure(
    frames: Pixels, clip: ActClip, paint_seed: int, corner: NDArray[np.float64], side: float
) -> NDArray[np.bool_]:
    """Draw a figure into [T, H, W, 3] in place; the box of all it covers at some time, [H, W]."""
    before = frames.copy()
    paints = act_paints(clip.outfit, numpy_rng("planted-paint", paint_seed))
    for part in act_parts(clip):
        assert isinstance(part, Capsule)
        radii = (part.radii[0] * side, part.radii[1] * side)
        small = replace(part, start=part.start * side + corner, end=part.end * side + corner, radii=radii)
        draw_part(frames, small, offset=np.zeros((len(frames), 2)), paint=paints[part.paint])
    rows, columns = np.nonzero(np.abs(frames - before).max(axis=(0, 3)) > _SEEN)
    box = np.zeros(frames.shape[1:3], bool)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return box
