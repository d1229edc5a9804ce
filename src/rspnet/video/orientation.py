"""How a coded picture is stretched, turned and mirrored to be displayed."""

from __future__ import annotations

from fractions import Fraction
from math import atan2, degrees
from typing import Any, NamedTuple, cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# Camera software writes angles that are a little off; within so many degrees of a quarter turn that is what is meant.
_TOLERANCE_DEGREES = 5.0 + 0.1  # a matrix of whole 65536ths does not hold five degrees exactly
# No camera or disc has pixels further from squares; a file that says so is damaged.
_MOST_STRETCH = 8


class Orientation(NamedTuple):
    """Counter-clockwise quarter turns of the coded picture, then perhaps a mirror of left and right."""

    quarter_turns: int
    mirrored: bool


def frame_orientation(frame: VideoFrame) -> Orientation | None:
    """The quarter turns and the mirror that a frame's display matrix asks for; None where it is no quarter turn."""
    angle, mirrored = _turned(frame)
    turns = 0 if angle is None else round(angle / 90)
    if angle is None or abs(angle - 90 * turns) > _TOLERANCE_DEGREES:
        return None
    return Orientation(turns % 4, mirrored)


def display_degrees(frame: VideoFrame) -> float | None:
    """Counter-clockwise degrees, 0 to 360, that a frame is to be turned by; None where its matrix has no direction."""
    return _turned(frame)[0]


def _turned(frame: VideoFrame) -> tuple[float | None, bool]:
    """NOTE: FFmpeg's own `rotation` reads a mirror as a half turn and cuts degrees off, so the matrix is read here."""
    matrix = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
    if matrix is None:
        return 0.0, False
    # The point (x, y), y downwards, is displayed at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), dtype=np.int32).astype(np.float64)
    mirrored = bool(a * d - b * c < 0)
    right = (-a if mirrored else a, b)  # where the coded picture's right-hand side points before the mirror
    return (None if right == (0, 0) else degrees(atan2(-right[1], right[0])) % 360), mirrored


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width of a coded pixel by its height: 1 for squares, and where a file says nothing or nonsense."""
    said = stream.sample_aspect_ratio
    if said is None or not Fraction(1, _MOST_STRETCH) <= said <= _MOST_STRETCH:
        return Fraction(1)
    return Fraction(said)


def square_width(width: int, aspect: Fraction) -> int:
    """Width of a coded picture in square pixels of its own height."""
    return max(1, round(width * aspect))
