"""Colour spaces that FFmpeg's converter does not know, by their formulas (ITU-T H.273, table 4).

The rest of the picture's way is that of all others: eight bits of red, green and blue, chroma taken from the nearest
sample. Such files are rare (screen recordings, test material), so this is plain and not fast.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

_YCGCO, _BT2020_CONSTANT_LUMINANCE = 8, 10
_FULL_RANGE = 2


def needs_formula(frame: VideoFrame) -> bool:
    """Whether FFmpeg refuses to convert this frame and `rgb_by_formula` can."""
    is_planar_yuv = frame.format.name.startswith(("yuv4", "yuvj4")) and len(frame.planes) == 3
    return is_planar_yuv and int(frame.colorspace) in (_YCGCO, _BT2020_CONSTANT_LUMINANCE)


def rgb_by_formula(frame: VideoFrame) -> Pixels:
    """The coded picture as RGB [H, W, 3]."""
    is_full = frame.format.name.startswith("yuvj") or int(frame.color_range) == _FULL_RANGE
    y, u, v = (_plane(frame, number, is_full=is_full) for number in range(3))
    rgb = _from_ycgco(y, u, v) if int(frame.colorspace) == _YCGCO else _from_constant_luminance(y, u, v)
    return np.asarray(np.rint(255 * rgb.clip(0, 1)), np.uint8)


def _plane(frame: VideoFrame, number: int, *, is_full: bool) -> Floats:
    """One plane at the picture's size: luma 0 to 1, chroma -0.5 to 0.5."""
    bits, plane = frame.format.components[number].bits, frame.planes[number]
    data = np.frombuffer(cast(Any, plane), np.uint8 if bits == 8 else "<u2").reshape(plane.height, -1)
    values: Floats = data[:, : plane.width].astype(np.float64)
    values = values.repeat(-(-frame.height // plane.height), axis=0).repeat(-(-frame.width // plane.width), axis=1)
    values = values[: frame.height, : frame.width]
    if is_full:
        return np.asarray((values - (2 ** (bits - 1) if number else 0)) / (2**bits - 1))
    values = values / 2 ** (bits - 8)
    return np.asarray((values - 128) / 224 if number else (values - 16) / 219)


def _from_ycgco(y: Floats, cg: Floats, co: Floats) -> Floats:
    return np.stack([y - cg + co, y + cg, y - cg - co], axis=-1)


def _from_constant_luminance(y: Floats, cb: Floats, cr: Floats) -> Floats:
    """BT.2020 with luma made of linear light: B' and R' follow from the differences, G' from what they leave."""
    blue = y + cb * np.where(cb <= 0, 2 * 0.9702, 2 * 0.7910)
    red = y + cr * np.where(cr <= 0, 2 * 0.8591, 2 * 0.4969)
    light = _to_light(y) - 0.2627 * _to_light(red) - 0.0593 * _to_light(blue)
    return np.stack([red, _from_light(light / 0.6780), blue], axis=-1)


_ALPHA, _BETA = 1.0993, 0.0181


def _from_light(light: Floats) -> Floats:
    light = light.clip(0, 1)
    return np.where(light < _BETA, 4.5 * light, _ALPHA * light**0.45 - (_ALPHA - 1))


def _to_light(signal: Floats) -> Floats:
    signal = signal.clip(0, 1)
    return np.where(signal < 4.5 * _BETA, signal / 4.5, ((signal + _ALPHA - 1) / _ALPHA) ** (1 / 0.45))
