"""The published data path (METHOD.md, section 2), one clip at a time and one operation at a time: what ours is held to.

Written from the description of the published route: seek and decode each window by itself at full size, every frame to
RGB, then crop, resize, colour jitter, flip and normalise in float32 by plain torch. Not slowed on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import av
import torch
from torch import Tensor

from rspnet.data.presets import MEAN, STD

Box = tuple[int, int, int, int]
Factors = tuple[float, float, float, float]
"""Brightness, contrast, saturation, hue."""


def decode_window(path: Path, first_frame: int, num_frames: int) -> Tensor:
    """Consecutive frames by a seek to the key frame before them, uint8 [T, H, W, 3]; right for constant frame rates."""
    frames: list[Tensor] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        assert stream.time_base is not None
        assert stream.average_rate is not None
        step = 1 / (stream.average_rate * stream.time_base)
        first_stamp = (stream.start_time or 0) + math.floor(first_frame * step)
        container.seek(first_stamp, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts < first_stamp:
                continue
            frames.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if len(frames) == num_frames:
                break
    return torch.stack(frames)


def plain_clip(frames: Tensor, *, box: Box, size: int, flip: bool, factors: Factors) -> Tensor:
    """Float crop, resize, jitter, flip, normalise: uint8 [T, H, W, 3] to float32 [3, T, size, size]."""
    top, left, height, width = box
    clip = frames.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    clip = clip[:, :, top : top + height, left : left + width]
    clip = torch.nn.functional.interpolate(clip, size=(size, size), mode="bilinear", align_corners=False)
    operations: tuple[Callable[[Tensor, float], Tensor], ...] = (_brightness, _contrast, _saturation, _hue)
    for operation, factor in zip(operations, factors, strict=True):
        clip = operation(clip, factor)
    if flip:
        clip = clip.flip(-1)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return ((clip - mean) / std).transpose(0, 1)


def _gray(clip: Tensor) -> Tensor:
    return (0.299 * clip[:, 0] + 0.587 * clip[:, 1] + 0.114 * clip[:, 2]).unsqueeze(1)


def _blend(clip: Tensor, other: Tensor, factor: float) -> Tensor:
    return (factor * clip + (1 - factor) * other).clamp(0, 1)


def _brightness(clip: Tensor, factor: float) -> Tensor:
    return (clip * factor).clamp(0, 1)


def _contrast(clip: Tensor, factor: float) -> Tensor:
    return _blend(clip, _gray(clip).mean(), factor)


def _saturation(clip: Tensor, factor: float) -> Tensor:
    return _blend(clip, _gray(clip), factor)


def _hue(clip: Tensor, shift: float) -> Tensor:
    """Through HSV, the textbook way."""
    red, green, blue = clip.unbind(1)
    value, low = clip.amax(1), clip.amin(1)
    span = value - low
    safe = torch.where(span == 0, 1.0, span)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = (hue / 6 + shift) % 1
    saturation = span / torch.where(value == 0, 1.0, value)
    sector = (hue * 6).floor()
    rest = hue * 6 - sector
    p, q, t = value * (1 - saturation), value * (1 - saturation * rest), value * (1 - saturation * (1 - rest))
    which = (sector.long() % 6).unsqueeze(1)
    channels = [
        torch.stack(choice, 1).gather(1, which)
        for choice in ((value, q, p, p, t, value), (t, value, value, q, p, p), (p, p, t, value, value, q))
    ]
    return torch.cat(channels, 1)
