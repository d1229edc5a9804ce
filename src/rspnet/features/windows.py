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
        stride: frames (or ticks of `fps`) from one frame of a clip to the next.
        size: height and width of a clip in pixels.
        fps: read windows at this rate by time, or None for their native frames.
    """

    window_s: float
    hop_s: float
    clips: int
    num_frames: int
    stride: int
    size: int
    fps: float | None = None


@dataclass(frozen=True)
class Windows:
    """The windows of a video (or of a part of it).

    Attributes:
        start_s: float64 [n], presentation seconds from the video's first frame; whole numbers of `hop_s` apart.
        end_s: float64 [n]; the last windows end with the video.
        frames: int64 [n * clips, T], the frames of each window's clips, window after window.
        shown: int64 [n], native frames of the video that lie in each window.
    """

    start_s: Seconds
    end_s: Seconds
    frames: NDArray[np.int64]
    shown: NDArray[np.int64]


def cut_windows(
    times: Seconds, settings: ClipSettings, *, fps: float, start_s: float = 0.0, end_s: float | None = None
) -> Windows:
    """Cut a video, or its part from `start_s` to `end_s`, into overlapping windows that hold all of its frames.

    Windows start every `hop_s` seconds; the last one may be shorter than `window_s`. A video shorter than a window is
    one window, and a window shorter than a clip repeats its last frame. Windows follow the frames: one that starts with
    the same frame as a later one, or holds no frame, is left out. So there are never more windows than frames, however
    long the gaps between them (a time lapse, a camera that pauses), and nothing is left out of a usual video.

    Args:
        times: float64 [N], presentation seconds of the video's frames, ascending.
        settings: how to cut.
        fps: average frames a second: how long the last frame lasts.
        start_s: seconds from the first frame; before the video's end.
        end_s: likewise, after `start_s`; None is the video's end.
    """
    times = times - times[0]
    duration = float(times[-1]) + 1 / fps
    stop = duration if end_s is None else min(end_s, duration)
    last = max(0, math.ceil((stop - start_s - settings.window_s) / settings.hop_s - _ROUNDING))
    inside = times[(times >= start_s - _ROUNDING) & (times < stop - _ROUNDING)]
    # For every frame the last window that starts with it: what others that do hold is in that one, or comes before it.
    number = np.unique(np.clip(np.floor((inside - start_s + _ROUNDING) / settings.hop_s), 0, last))
    starts = start_s + settings.hop_s * (number if len(number) else np.zeros(1))
    ends = np.minimum(starts + settings.window_s, stop)
    first = np.minimum(np.searchsorted(times, starts - _ROUNDING), len(times) - 1)
    after = np.maximum(np.searchsorted(times, ends - _ROUNDING), first + 1)
    clips = []
    for start, end, one, behind in zip(starts, ends, first.tolist(), after.tolist(), strict=True):
        frames = np.arange(one, behind) if settings.fps is None else _ticks(times, start, end, settings.fps)
        clips.append(frames[_clips_of(len(frames), settings)])
    return Windows(starts, ends, np.concatenate(clips).astype(np.int64), (after - first).astype(np.int64))


def _ticks(times: Seconds, start: float, end: float, fps: float) -> NDArray[np.int64]:
    """The frame nearest to each of the times start, start + 1 / fps, ... before `end`; of two as near the earlier."""
    wanted = start + np.arange(max(1, math.ceil((end - start) * fps - _ROUNDING))) / fps
    after = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
    if len(times) == 1:
        return np.zeros(len(wanted), np.int64)
    earlier_is_nearer = wanted - times[after - 1] <= times[after] - wanted + _ROUNDING / fps
    return np.where(earlier_is_nearer, after - 1, after).astype(np.int64)


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
