"""Rewriting a video for training: small, quick to enter at any frame, and frame for frame the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import atomic_path
from rspnet.core.heartbeat import note
from rspnet.core.processor import processor_flags
from rspnet.video.reader import VideoReader, View, open_video

_TICKS_PER_SECOND = 90_000
_LARGEST_SHIFT_SECONDS = 0.001
_CHUNK_FRAMES = 64
_THUMBNAIL = 32
# Mean levels of 0..255 that a frame's thumbnail may lose by coding, and that another frame must differ by to be told
# apart from it.
_CODING_CHANGE = 8.0
_CLEAR_CHANGE = 4.0
_WHY = "the source is unusual, or --short_side and --crf keep too little of it"


@dataclass(frozen=True)
class Transcoded:
    """A video, or the part of one that was asked for, before and after."""

    frames: int
    bytes_before: int
    bytes_after: int


def transcode_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    short_side: int,
    key_every: int,
    crf: int,
    most_frames: int | None = None,
) -> Transcoded:
    """Write `source` as H.264 in MP4 (whatever the ending of `target`), without sound, atomically and checked.

    Rotation is applied. Every frame keeps its place and its presentation time (to 1 ms).

    Args:
        source: any readable video.
        target: file to write; it appears only when it is whole and has been read back.
        short_side: pixels of the shorter side; smaller videos keep their size (odd sides lose a pixel).
        key_every: frames from a key frame to the next at most.
        crf: quality of x264, 0 (lossless) to 51.
        most_frames: stop after so many frames; None takes all.

    Raises:
        DecodeError: a frame of the source cannot be decoded.
        RSPNetError: the file cannot be written, or does not hold the same frames at the same times.
    """
    options = {"preset": "veryfast", "crf": str(crf), "g": str(key_every), "x264-params": _x264_params()}
    with open_video(source) as video, atomic_path(target) as temporary:
        size = _even_size(video.height, video.width, short_side)
        count = len(video) if most_frames is None else min(most_frames, len(video))
        stamps = _ascending(np.round(video.times[:count] * _TICKS_PER_SECOND).astype(np.int64))
        with av.open(f"file:{temporary}", "w", format="mp4") as container:
            stream = _add_stream(container, Fraction(video.fps).limit_denominator(1001), size, options)
            for index, picture in enumerate(_pictures(video, size, count)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = int(stamps[index]), Fraction(1, _TICKS_PER_SECOND)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        _check_same(video, temporary, str(video.path), count)
        before = round(video.path.stat().st_size * count / len(video))
        return Transcoded(count, before, temporary.stat().st_size)


def _x264_params() -> str:
    """x264 writes nothing to stderr, and equal frames to equal files.

    With AVX-512 its look-ahead reads memory that it has not written, so that other files come of small pictures.
    """
    exact = ":asm=avx2" if {"avx2", "avx512bw"} <= processor_flags() else ""
    return f"log-level=none{exact}"


def _add_stream(container: OutputContainer, rate: Fraction, size: tuple[int, int], options: dict[str, str]) -> Any:
    stream: Any = container.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, _TICKS_PER_SECOND)
    stream.time_base = Fraction(1, _TICKS_PER_SECOND)
    stream.codec_context.thread_count = 1
    return stream


def _ascending(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Stamps that never fall, moved on by a tick where two are equal: MP4 has no room for two frames at one time."""
    places = np.arange(len(stamps))
    return np.maximum.accumulate(stamps - places) + places


def _even_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    scale = min(1.0, short_side / min(height, width))
    if scale == 1.0:
        return max(2, height - height % 2), max(2, width - width % 2)
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))


def _pictures(video: VideoReader, size: tuple[int, int], count: int) -> Iterator[NDArray[np.uint8]]:
    """The first `count` frames."""
    for start in range(0, count, _CHUNK_FRAMES):
        note(start)
        frames = range(start, min(start + _CHUNK_FRAMES, count))
        yield from video.read_views([View(frames, size=size)])[0]


def _check_same(video: VideoReader, written: Path, source: str, count: int) -> None:
    """Read the new file back and hold it against the first `count` frames of the source."""
    with open_video(written) as copy:
        problem = None
        if len(copy) != count:
            problem = f"{counted(len(copy), 'frame')} instead of {count}"
        elif np.abs(copy.times - video.times[:count]).max() > _LARGEST_SHIFT_SECONDS:
            problem = "other presentation times"
        else:
            side = max(4, min(_THUMBNAIL, copy.height // 2, copy.width // 2))  # what both have room for
            thumbnail = (side, side)
            before = np.stack(list(_pictures(video, thumbnail, count))).astype(np.float32)
            after = np.stack(list(_pictures(copy, thumbnail, count))).astype(np.float32)
            wrong = _misplaced(before, after)
            if wrong is not None:
                problem = f"another picture at frame {wrong}"
    if problem is not None:
        raise RSPNetError(f"cannot transcode {source!r}: the file written has {problem}; {_WHY}")


def _misplaced(before: NDArray[np.float32], after: NDArray[np.float32]) -> int | None:
    """The first frame whose copy shows something else, or clearly shows its neighbour: thumbnails [N, h, w, 3]."""
    own = np.abs(before - after).mean(axis=(1, 2, 3))
    for shift in (1, -1):
        other = np.abs(before - np.roll(after, shift, axis=0)).mean(axis=(1, 2, 3))
        swapped = np.flatnonzero(own > other + _CLEAR_CHANGE)
        if len(swapped):
            return int(swapped[0])
    lost = np.flatnonzero(own > _CODING_CHANGE)
    return int(lost[0]) if len(lost) else None
