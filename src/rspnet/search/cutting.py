"""Reading the windows of videos: files to clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import centre_square
from rspnet.data.datasets import EvalClipDataset, EvalSample
from rspnet.data.skipped import Skip
from rspnet.features.windows import ClipSettings, Windows, cut_windows
from rspnet.video.reader import View, open_video

_WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class CutVideo:
    """A video file and its windows.

    Attributes:
        path: the file.
        windows: of the video, or of the part asked for.
        duration_s: of the whole video.
        fps: average frames a second.
        width: in pixels.
        height: in pixels.
    """

    path: Path
    windows: Windows
    duration_s: float
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class Piece:
    """Some windows of a video that are read in one go: `first` to before `after`."""

    video: CutVideo
    first: int
    after: int


def cut_video(path: Path, settings: ClipSettings, *, start_s: float = 0.0, end_s: float | None = None) -> CutVideo:
    """Open a video and lay out its windows; no picture but the first is decoded.

    Raises:
        DecodeError: the video cannot be read.
        RSPNetError: `start_s` lies behind its end.
    """
    with open_video(path) as video:
        times = video.times
        duration = float(times[-1] - times[0]) + 1 / video.fps
        if start_s >= duration:
            raise RSPNetError(f"{str(path)!r}: --start {start_s} lies behind the video's end, {duration:.2f} s")
        windows = cut_windows(times, settings, fps=video.fps, start_s=start_s, end_s=end_s)
        return CutVideo(path, windows, duration, video.fps, video.width, video.height)


def pieces_of(video: CutVideo) -> list[Piece]:
    """The windows of a video in pieces small enough to be held as pixels, whatever its length."""
    count = len(video.windows.start_s)
    return [Piece(video, i, min(i + _WINDOWS_AT_ONCE, count)) for i in range(0, count, _WINDOWS_AT_ONCE)]


class PieceDataset(EvalClipDataset):
    """The clips of pieces of videos: one sample a piece, window after window."""

    def __init__(self, pieces: Sequence[Piece], settings: ClipSettings) -> None:
        records = [VideoRecord(piece.video.path, str(piece.video.path)) for piece in pieces]
        super().__init__(
            records,
            num_frames=settings.num_frames,
            stride_frames=settings.stride,
            num_clips=settings.clips * _WINDOWS_AT_ONCE,
            size=settings.size,
        )
        clips = settings.clips
        self._frames: list[NDArray[np.int64]] = [
            piece.video.windows.frames[piece.first * clips : piece.after * clips] for piece in pieces
        ]

    def __getitem__(self, index: int) -> EvalSample:
        """The clips of piece `index`, decoded in one pass."""
        record, frames = self.records[index], self._frames[index]
        try:
            with open_video(record.path) as video:
                wanted, where = np.unique(frames, return_inverse=True)
                box = centre_square(video.height, video.width)
                (pixels,) = video.read_views([View(wanted.tolist(), box=box, size=(self.size, self.size))])
        except DecodeError as error:
            return EvalSample(record, None, None, Skip(record.name, error.why))
        except RSPNetError as error:  # the file has changed since its windows were laid out
            return EvalSample(record, None, None, Skip(record.name, str(error)))
        clips = torch.as_tensor(pixels)[torch.from_numpy(where.reshape(-1))]
        return EvalSample(record, clips.view(*frames.shape, *clips.shape[1:]), torch.from_numpy(frames), None)


def window_means(vectors: NDArray[np.float32], clips: int, *, unit: bool) -> NDArray[np.float32]:
    """Mean over each window's clips: [n * clips, D] -> [n, D]; with `unit` made unit vectors again."""
    means = vectors.reshape(-1, clips, vectors.shape[1]).mean(axis=1, dtype=np.float64)
    if unit:
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return np.asarray(means, np.float32)
