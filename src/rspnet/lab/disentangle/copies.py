"""Copies of a video that keep its motion but change what could give the speed away instead: coding, rate, or motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.core.files import write_text
from rspnet.video.writer import Coding, write_video

Frames = NDArray[np.uint8]
LOSSLESS = Coding("matroska", "ffv1", {}, pixels="bgr0")
_H264 = {"preset": "veryfast", "rc-lookahead": "0"}
_MPEG4 = {"qmin": "5", "qmax": "5"}
_COMPLETE = "complete"
ORIGINAL = "original"


@dataclass(frozen=True)
class Copy:
    """A kind of copy.

    Attributes:
        title: what to call it in a report.
        coding: how it is encoded.
        frozen: every picture is the middle one, so that all that changes is coding noise.
        rate: the file claims this many times the true frame rate.
    """

    title: str
    coding: Coding
    frozen: bool = False
    rate: float = 1.0


COPIES: dict[str, Copy] = {
    "lossless": Copy("lossless (FFV1)", LOSSLESS),
    "rate": Copy("lossless, twice the frame rate claimed", LOSSLESS, rate=2.0),
    "x264": Copy("x264, CRF 23", Coding("mp4", "libx264", {**_H264, "crf": "23"})),
    "x264-strong": Copy("x264, CRF 35", Coding("mp4", "libx264", {**_H264, "crf": "35"})),
    "mpeg4-b": Copy("MPEG-4, 2 B-frames", Coding("avi", "mpeg4", _MPEG4, b_frames=2, tag="XVID")),
    "mpeg4": Copy("MPEG-4, no B-frames", Coding("avi", "mpeg4", _MPEG4, b_frames=0, tag="XVID")),
    "frozen-lossless": Copy("frozen, lossless", LOSSLESS, frozen=True),
    "frozen-x264": Copy("frozen, x264, CRF 23", Coding("mp4", "libx264", {**_H264, "crf": "23"}), frozen=True),
    "frozen-mpeg4-b": Copy(
        "frozen, MPEG-4, 2 B-frames", Coding("avi", "mpeg4", _MPEG4, b_frames=2, tag="XVID"), frozen=True
    ),
}


@dataclass(frozen=True)
class Source:
    """A video to copy: its name in the set, a function that gives its frames [T, H, W, 3], its rate and own coding."""

    name: str
    frames: Callable[[], Frames]
    fps: float
    coding: Coding = LOSSLESS


def write_all_copies(root: Path, sources: Sequence[Source], *, workers: int = 2) -> None:
    """Copies of all sources below `root`, `original` being those in their own coding; a complete set is left alone.

    Raises:
        RSPNetError: a file cannot be written.
        DecodeError: a source cannot be read.
    """
    if (root / _COMPLETE).exists():
        return
    with ThreadPoolExecutor(max(1, workers)) as pool:  # decoding and encoding release the interpreter lock
        for _ in pool.map(lambda source: _write_copies(root, source), sources):
            pass
    write_text(root / _COMPLETE, f"{len(sources)} videos\n")


def copy_path(root: Path, kind: str, name: str) -> Path:
    """Where a copy of a kind lies, or with "original" the source in its own coding."""
    return root / kind / f"{name}.video"  # readers go by content, not by ending


def _write_copies(root: Path, source: Source) -> None:
    frames = source.frames()
    frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]  # 4:2:0 needs even sides
    kinds = {ORIGINAL: Copy("as they are", source.coding), **COPIES}
    for kind, copy in kinds.items():
        pictures = [frames[len(frames) // 2]] * len(frames) if copy.frozen else list(frames)
        write_video(copy_path(root, kind, source.name), pictures, fps=source.fps * copy.rate, coding=copy.coding)
