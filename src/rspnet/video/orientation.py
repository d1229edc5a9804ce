"""How a coded picture is turned and mirrored to be displayed."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

# Fixed-point matrices of camera software are off by a few units of 65536: this share of the larger entry is no skew.
_ROUNDING = 0.01


class Orientation(NamedTuple):
    """Counter-clockwise quarter turns of the coded picture, then perhaps a mirror of left and right."""

    quarter_turns: int
    mirrored: bool


def frame_orientation(frame: VideoFrame) -> Orientation | None:
    """The orientation that a frame's display matrix asks for; None where it is no quarter turn.

    NOTE: FFmpeg's own `rotation` reads a mirror as a half turn, so the matrix is read here.
    """
    matrix = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
    if matrix is None:
        return Orientation(0, False)
    # The point (x, y), y downwards, is displayed at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), dtype=np.int32).astype(np.float64)
    mirrored = bool(a * d - b * c < 0)
    right = (-a if mirrored else a, b)  # where the coded picture's right-hand side points before the mirror
    larger = max(abs(right[0]), abs(right[1]))
    if larger == 0 or min(abs(right[0]), abs(right[1])) > _ROUNDING * larger:
        return None
    if abs(right[0]) == larger:
        return Orientation(0 if right[0] > 0 else 2, mirrored)
    return Orientation(1 if right[1] < 0 else 3, mirrored)
