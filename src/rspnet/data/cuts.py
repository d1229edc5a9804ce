"""Which frames of a video, and which part of the picture: index arithmetic that knows nothing of how it is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from rspnet.core.errors import ConfigError
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import Box, centre_square
from rspnet.video.clips import Indices, even_clips, tick_frames
from rspnet.video.reader import VideoReader, View


class Crop(NamedTuple):
    """A part of the picture, (top, left, height, width) in displayed pixels, and whether it is mirrored."""

    box: Box
    flip: bool = False


@dataclass(frozen=True)
class Cut:
    """Some clips of one video that are decoded in one pass.

    Attributes:
        frames: int64 [n, T], frames of the video.
        crops: n of them: clip i shows frames[i] through crops[i].
    """

    frames: Indices
    crops: Sequence[Crop]

    def read(self, video: VideoReader, size: int) -> Tensor:
        """The clips, each crop resized: uint8 [n, T, size, size, 3].

        Raises:
            DecodeError: a frame cannot be decoded.
            RSPNetError: a frame or crop lies outside the video.
        """
        clips_of: dict[Crop, list[int]] = defaultdict(list)
        for number, crop in enumerate(self.crops):
            clips_of[crop].append(number)
        places, views = [], []
        for crop, numbers in clips_of.items():
            wanted, where = np.unique(self.frames[numbers], return_inverse=True)
            places.append(torch.from_numpy(where.reshape(-1)))
            views.append(View(wanted.tolist(), box=crop.box, size=(size, size), flip=crop.flip))
        shape = (*self.frames.shape, size, size, 3)
        pixels = [torch.as_tensor(part) for part in video.read_views(views)]
        if len(pixels) == 1:
            return pixels[0][places[0]].view(shape)
        clips = torch.empty(shape, dtype=torch.uint8)
        for numbers, part, positions in zip(clips_of.values(), pixels, places, strict=True):
            clips[numbers] = part[positions].view(len(numbers), *shape[1:])
        return clips


@dataclass(frozen=True)
class Layout:
    """The clips that are to be read of one video.

    Attributes:
        cuts: parts that are read one after the other, so that a long film is never held as pixels.
        facts: what was learned of the video on the way, for whoever asked for this layout; it must be picklable.
    """

    cuts: Sequence[Cut]
    facts: Any = None


class Cutter(Protocol):
    """Lays out the clips of a video; picklable, for it works in a worker."""

    @property
    def size(self) -> int:
        """S, height and width of the clips in pixels."""
        ...

    @property
    def frames_at_once(self) -> int:
        """Upper bound of the frames of a cut, all clips together."""
        ...

    def __call__(self, video: VideoReader, record: VideoRecord, /) -> Layout:
        """The clips of an open video."""
        ...


@dataclass(frozen=True)
class ClipShape:
    """Which frames make a clip, and its size.

    Attributes:
        num_frames: T.
        stride_frames: ticks from one frame to the next; ignored where `spread`.
        size: S, height and width in pixels.
        fps: ticks a second (read by time), or None for native frames.
        spread: frames evenly over the whole video instead of a window (Something-Something V2; METHOD section 4).

    Raises:
        ConfigError: a number that no clip can have.
    """

    num_frames: int
    stride_frames: int
    size: int
    fps: float | None = None
    spread: bool = False

    def __post_init__(self) -> None:
        require_at_least_1(num_frames=self.num_frames, stride_frames=self.stride_frames)
        check_pixels_and_rate(self.size, self.fps)


@dataclass(frozen=True)
class EvenClips:
    """Evenly spaced clips of the whole video under one or three crops, no randomness (METHOD: section 4).

    A video shorter than a clip repeats its last frame.

    Attributes:
        shape: frames and size of a clip.
        num_clips: n; of a shape that is `spread`, n offsets of the frames over the whole video.
        num_crops: 1 (largest centre square) or 3 (squares along the longer side); crops of a clip come together.

    Raises:
        ConfigError: a number out of its range.
    """

    shape: ClipShape
    num_clips: int = 10
    num_crops: int = 1

    def __post_init__(self) -> None:
        require_at_least_1(num_clips=self.num_clips)
        even_squares(1, 1, self.num_crops)

    @property
    def size(self) -> int:
        """S, height and width of the clips in pixels."""
        return self.shape.size

    @property
    def frames_at_once(self) -> int:
        """Frames of all clips and crops together."""
        return self.num_clips * self.num_crops * self.shape.num_frames

    def __call__(self, video: VideoReader, _record: VideoRecord, /) -> Layout:
        """All clips in one cut."""
        frames = self.frames(video).repeat(self.num_crops, axis=0)
        crops = [Crop(box) for box in even_squares(video.height, video.width, self.num_crops)] * self.num_clips
        return Layout([Cut(frames, crops)])

    def frames(self, video: VideoReader) -> Indices:
        """The frames of the clips, without regard to crops: int64 [n, T]."""
        shape, shown = self.shape, tick_frames(video.times, self.shape.fps)
        if shape.spread:
            offsets = (np.arange(self.num_clips) + 0.5) / self.num_clips
            ticks = np.stack([spread_ticks(len(shown), shape.num_frames, float(offset)) for offset in offsets])
        else:
            ticks = even_clips(
                len(shown), num_frames=shape.num_frames, stride_frames=shape.stride_frames, num_clips=self.num_clips
            )
        return np.asarray(shown[ticks], np.int64)


def spread_ticks(total: int, num_frames: int, offset: float) -> Indices:
    """One tick of each of `num_frames` equal parts of a video, all at the same share `offset` (0..1) of their part."""
    return np.minimum((np.arange(num_frames) + offset) * total / num_frames, total - 1).astype(np.int64)


def even_squares(height: int, width: int, num_crops: int) -> list[Box]:
    """Largest squares spread evenly along the longer side (one: the centre): (top, left, height, width) each.

    Raises:
        ConfigError: neither 1 nor 3 crops.
    """
    if num_crops == 1:
        return [centre_square(height, width)]
    if num_crops != 3:
        raise ConfigError(f"num_crops must be 1 or 3, not {num_crops}")
    side = min(height, width)
    down, right = (height - side, 0) if height > width else (0, width - side)
    return [(round(down * share), round(right * share), side, side) for share in (0.0, 0.5, 1.0)]


def require_at_least_1(**values: int) -> None:
    """Raise a ConfigError that names a value below 1."""
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name} must be >= 1, not {value}")


def check_pixels_and_rate(size: int, fps: float | None) -> None:
    """Raise a ConfigError for a size or rate that no clip can have."""
    if size < 1:
        raise ConfigError(f"size must be >= 1 pixel, not {size}")
    if fps is not None and not fps > 0:
        raise ConfigError(f"fps must be > 0, not {fps}")
