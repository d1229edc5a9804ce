"""Cutting a video into overlapping windows, and the clips that stand for each: index arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rspnet.video.clips import clip_indices

Seconds = NDArray[np.float64]
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ClipSettings:
    """How a library's videos become vectors; every video and every query of a library is cut the same way.

    Attributes:
        window_s: seconds a window lasts.
        hop_s: seconds from the start of one window to the next.
        clips: clips of a window whose vectors are averaged, one from the middle of each of as many equal parts.
        num_frames: frames of a clip.
        stride: frames from one frame of a clip to the next.
        size: height and width of a clip in pixels.
    """

    window_s: float
    hop_s: float
    clips: int
    num_frames: int
    stride: int
    size: int


@dataclass(frozen=True)
class Windows:
    """The windows of a video (or of a part of it).

    Attributes:
        start_s: float64 [n], presentation seconds from the video's first frame; `hop_s` apart.
        end_s: float64 [n]; the last windows end with the video.
        frames: int64 [n * clips, T], the frames of each window's clips, window after window.
    """

    start_s: Seconds
    end_s: Seconds
    frames: NDArray[np.int64]


def cut_windows(
    times: Seconds, settings: ClipSettings, *, fps: float, start_s: float = 0.0, end_s: float | None = None
) -> Windows:
    """Cut a video, or its part from `start_s` to `end_s`, into overlapping windows that cover all of it.

    Windows start every `hop_s` seconds; the last one may be shorter than `window_s`. A video shorter than a window is
    one window, and a window shorter than a clip repeats its last frame.

    Args:
        times: float64 [N], presentation seconds of the video's frames.
        settings: how to cut.
        fps: average frames a second: how long the last frame lasts.
        start_s: seconds from the first frame; before the video's end.
        end_s: likewise, after `start_s`; None is the video's end.
    """
    times = times - times[0]
    duration = float(times[-1]) + 1 / fps
    stop = duration if end_s is None else min(end_s, duration)
    count = 1 + max(0, math.ceil((stop - start_s - settings.window_s) / settings.hop_s - _ROUNDING))
    starts = start_s + settings.hop_s * np.arange(count, dtype=np.float64)
    ends = np.minimum(starts + settings.window_s, stop)
    clips = []
    for start, end in zip(starts, ends, strict=True):
        first = min(int(np.searchsorted(times, start - _ROUNDING)), len(times) - 1)
        after = max(int(np.searchsorted(times, end - _ROUNDING)), first + 1)
        clips.append(first + _clips_of(after - first, settings))
    return Windows(np.asarray(starts, np.float64), np.asarray(ends, np.float64), np.concatenate(clips))


def _clips_of(num_frames: int, settings: ClipSettings) -> NDArray[np.int64]:
    """Frames [clips, T] of a window of `num_frames` frames.

    From the middles of parts, not from edge to edge: a query never starts just where a window does, and clips at the
    edges would then show what comes before or after it (two clips a window, planted clips: the right video came first
    in 24 of 30 searches, with clips from edge to edge in 14).
    """
    clip = clip_indices(0, settings.num_frames, settings.stride)
    room = max(0, num_frames - 1 - int(clip[-1]))
    middles = (2 * np.arange(settings.clips) + 1) * num_frames / (2 * settings.clips)
    starts = np.clip(np.floor(middles - (clip[-1] + 1) / 2), 0, room).astype(np.int64)
    return np.asarray(np.minimum(starts[:, None] + clip, num_frames - 1), np.int64)
