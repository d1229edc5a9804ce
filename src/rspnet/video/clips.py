"""Pure index arithmetic of clips: which frames make a window, a speed, an evaluation view. No files, no pixels.

Words used here: a *window* is `length` consecutive ticks of a video; a tick is a native frame, or 1 / fps seconds when
a video is resampled by time; a *clip* at speed v takes the ticks 0, v, 2v, ... of a window (METHOD: step 2).

NOTE: the public code loops or stretches short videos, which makes the speed label false, and sizes the window by the
first speed of a list. Here the window is sized by the largest speed, a short video raises in pre-training, and a
window whose timestamps are not evenly spaced (a gap, variable frame rate) raises too: no sample carries a false speed.
Pictures that repeat the previous picture are false speed as well: see `MAX_REPEATED` and `repeated_share`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError

Indices = NDArray[np.int64]
Seconds = NDArray[np.float64]

# A timestamp may be off the straight line by this share of the typical frame interval ...
_MAX_DEVIATION = 0.5
# ... and no interval may be as long as this many typical ones: a lost frame doubles its interval.
_MAX_INTERVAL = 1.75
_ROUNDING = 1e-6
# What a step from frame to frame counts for at most when a video is resampled: usual steps, and ticks.
_LONGEST_PAUSE = 10
_MOST_TICKS = 16
# Levels of 0..255 by which the pictures of a frozen video differ, and share of the next change of a repeated one.
_NO_CHANGE = 0.02
_SMALL_CHANGE = 0.1
MAX_REPEATED = 0.29
"""A clip is refused where so large a share of the frames it is cut from repeats the previous frame: a false speed.

With a smaller share the order of speeds is safe. What is seen then moves on at 0.71 to 1 times the speed named, and
0.71 > 1 / sqrt(2): of two clips at speeds v and 2 v, the clip at v is nearer to any third clip at v. A rate doubled
by repeating every frame has a share of a half; film shown at video rates (24 to 30 frames a second) has a fifth.
"""


def window_length(num_frames: int, speeds: Sequence[int]) -> int:
    """Ticks a window must hold so that `num_frames` frames at any of `speeds` fit: T * max(speeds), in any order.

    Raises:
        RSPNetError: no frames, no speeds, or a speed below 1.
    """
    if num_frames < 1 or not speeds or min(speeds) < 1:
        raise RSPNetError(f"num_frames must be >= 1 and speeds whole numbers >= 1, not {num_frames} and {list(speeds)}")
    return num_frames * max(speeds)


def clip_indices(start: int, num_frames: int, stride_frames: int) -> Indices:
    """The frames start, start + stride, ... of one clip: int64 [num_frames]."""
    return np.arange(start, start + num_frames * stride_frames, stride_frames, dtype=np.int64)


@dataclass(frozen=True)
class SpeedUnion:
    """The ticks two clips of one window need, each once, and where each clip finds its own.

    Attributes:
        offsets: int64 [U], ascending ticks from the start of the window.
        first: int64 [T], positions in `offsets` of the clip at the first speed.
        second: int64 [T], positions in `offsets` of the clip at the second speed.
    """

    offsets: Indices
    first: Indices
    second: Indices


def speed_union(num_frames: int, first_speed: int, second_speed: int) -> SpeedUnion:
    """The ticks that clips at two speeds from the same window start need together."""
    first = clip_indices(0, num_frames, first_speed)
    second = clip_indices(0, num_frames, second_speed)
    offsets = np.union1d(first, second)
    return SpeedUnion(offsets, np.searchsorted(offsets, first), np.searchsorted(offsets, second))


def ordered_ticks(num_frames: int, num_clips: int) -> Indices:
    """Ticks of clips at speed 1 that follow one another in a window: int64 [num_clips, num_frames].

    Half a clip's length lies between two clips, so that their order cannot be read off a frame they nearly share
    (clip-order prediction leaves 8 frames between clips of 16).
    """
    starts = np.arange(num_clips, dtype=np.int64) * (num_frames + num_frames // 2)
    return starts[:, None] + clip_indices(0, num_frames, 1)[None]


def ordered_length(num_frames: int, num_clips: int) -> int:
    """Ticks a window must hold for `ordered_ticks`."""
    return int(ordered_ticks(num_frames, num_clips)[-1, -1]) + 1


def even_clips(total_ticks: int, *, num_frames: int, stride_frames: int, num_clips: int) -> Indices:
    """Ticks of `num_clips` clips spread evenly over a video, for evaluation: int64 [num_clips, num_frames].

    The first clip starts with the video and the last one ends with it; a single clip is taken from the middle. Where a
    video is shorter than a clip, its last frame is repeated (evaluation only: there is no speed label to make false).

    Raises:
        RSPNetError: a number below 1.
    """
    if total_ticks < 1 or num_frames < 1 or stride_frames < 1 or num_clips < 1:
        raise RSPNetError(
            "an evaluation view needs at least one frame, clip and stride, not "
            f"{counted(total_ticks, 'frame')} in the video, {num_frames} a clip, stride {stride_frames}, "
            f"{counted(num_clips, 'clip')}"
        )
    room = max(0, total_ticks - ((num_frames - 1) * stride_frames + 1))
    if num_clips == 1:
        starts = np.array([room // 2], dtype=np.int64)
    else:
        gaps = num_clips - 1
        starts = (2 * room * np.arange(num_clips, dtype=np.int64) + gaps) // (2 * gaps)
    ticks = starts[:, None] + clip_indices(0, num_frames, stride_frames)[None]
    return np.asarray(np.minimum(ticks, total_ticks - 1))


def tick_frames(times: Seconds, fps: float | None) -> Indices:
    """The native frame shown at each tick: all frames if `fps` is None, else the frame nearest to k / fps seconds.

    Ticks follow the frames: a longer step from frame to frame than 10 usual ones, or than 16 ticks, counts as so long.
    A clock that jumps by hours, or a time lapse, then has no more ticks than its frames bear.

    Args:
        times: float64 [N], presentation seconds of the frames, ascending.
        fps: ticks a second, or None for native frames.

    Returns:
        int64 [ticks]; between two equally near frames the earlier one.

    Raises:
        RSPNetError: `fps` is not above 0.
    """
    if fps is None:
        return np.arange(len(times), dtype=np.int64)
    if not fps > 0:
        raise RSPNetError(f"fps must be > 0, not {fps}")
    if len(times) == 0:
        return np.zeros(0, dtype=np.int64)
    times = _bounded(times, fps)
    num_ticks = int((times[-1] - times[0]) * fps + _ROUNDING) + 1
    wanted = times[0] + np.arange(num_ticks) / fps
    after = np.searchsorted(times, wanted).clip(1, len(times) - 1) if len(times) > 1 else np.zeros(num_ticks, int)
    before = np.maximum(after - 1, 0)
    earlier_is_nearer = wanted - times[before] <= times[after] - wanted + _ROUNDING / fps
    return np.where(earlier_is_nearer, before, after).astype(np.int64)


def _bounded(times: Seconds, fps: float) -> Seconds:
    """Times in which no step is longer than what `tick_frames` lets it count for; the same where none is."""
    steps = np.diff(times)
    longest = _MOST_TICKS / fps
    if len(steps) and (usual := float(np.median(steps))) > 0:
        longest = min(longest, _LONGEST_PAUSE * usual)
    if not (steps > longest).any():
        return times
    return np.asarray(times[0] + np.append(0, np.minimum(steps, longest).cumsum()))


def uniform_windows(times: Seconds, length: int) -> NDArray[np.bool_]:
    """Which windows of `length` frames have evenly spaced timestamps: bool [N - length + 1], by window start.

    Evenly spaced means: ascending, no time further from the straight line between the window's first and last than
    half an interval, and no interval of 1.75 intervals or more (one lost frame doubles one). An interval is here the
    smaller of the median and the mean.
    """
    if length < 3 or len(times) < length:
        return np.ones(max(0, len(times) - length + 1), dtype=np.bool_)
    windows = np.lib.stride_tricks.sliding_window_view(times, length)
    intervals = np.diff(windows, axis=1)
    typical = np.minimum(np.median(intervals, axis=1), intervals.mean(axis=1))
    ramp = np.arange(length) / (length - 1)
    line = windows[:, :1] + (windows[:, -1:] - windows[:, :1]) * ramp
    deviation = np.abs(windows - line).max(axis=1)
    return np.asarray(
        (intervals.min(axis=1) > 0)
        & (deviation <= (_MAX_DEVIATION + _ROUNDING) * typical)
        & (intervals.max(axis=1) < _MAX_INTERVAL * typical)
    )


def true_ticks(times: Seconds, fps: float) -> NDArray[np.bool_]:
    """Which ticks of a resampled video show a frame within half a (median) frame interval of their time: bool [ticks].

    A gap in the video fails: no frame is near the ticks inside it. Variable frame rate without gaps passes.
    """
    frames = tick_frames(times, fps)
    times = _bounded(times, fps)
    if len(times) < 2:
        return np.ones(len(frames), dtype=np.bool_)
    interval = max(float(np.median(np.diff(times))), 0.0)
    late = np.abs(times[frames] - (times[0] + np.arange(len(frames)) / fps))
    return np.asarray(late <= (_MAX_DEVIATION + _ROUNDING) * interval)


def draw_window(times: Seconds, *, length: int, rng: np.random.Generator, fps: float | None = None) -> Indices:
    """Draw a random window of `length` ticks that shows its true speed.

    Args:
        times: float64 [N], presentation seconds of the video's frames.
        length: ticks in a window (see `window_length`).
        rng: where the start is drawn from, evenly over all windows whose timestamps allow it.
        fps: ticks a second, or None for native frames.

    Returns:
        int64 [length], the native frame at each tick.

    Raises:
        RSPNetError: the video is too short, or no window of it has evenly spaced timestamps.
    """
    frames = tick_frames(times, fps)
    num_starts = len(frames) - length + 1
    if num_starts < 1:
        rate = "" if fps is None else f" at {fps:g} fps"
        raise RSPNetError(f"too short: {counted(len(frames), 'frame')}{rate}, a window needs {length}")
    start = int(rng.integers(num_starts))
    # Most videos are even: looking at the drawn window alone is cheaper than at all.
    sound = uniform_windows(times[start : start + length], length)[0] if fps is None else False
    if not sound:
        true = true_windows(times, length, fps)
        if true[start]:
            return frames[start : start + length]
        starts = np.flatnonzero(true)
        if len(starts) == 0:
            raise RSPNetError(
                f"timestamps are not evenly spaced in any window of {length} frames (gaps or variable frame rate)"
                if fps is None
                else f"gaps in the timestamps, or a low frame rate, leave no window of {length} frames at {fps:g} fps"
            )
        start = int(starts[rng.integers(len(starts))])
    return frames[start : start + length]


def true_windows(times: Seconds, length: int, fps: float | None) -> NDArray[np.bool_]:
    """Which windows of `length` ticks show their true speed, native (`fps` None) or resampled: bool, by first tick."""
    if fps is None:
        return uniform_windows(times, length)
    near = np.lib.stride_tricks.sliding_window_view(true_ticks(times, fps), length).all(axis=1)
    repeats = np.lib.stride_tricks.sliding_window_view(np.diff(tick_frames(times, fps)) == 0, length - 1).mean(axis=1)
    return np.asarray(near & (repeats < MAX_REPEATED))


def repeated_share(pictures: NDArray[np.uint8]) -> float:
    """The share of the steps of a clip [T, H, W, ...] that only repeat a picture (frozen or duplicated frames)."""
    return share_of_repeats(picture_changes(pictures))


def picture_changes(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean levels that each step changes of a clip [T, H, W, ...], or of samples of one [T, n]: float64 [T - 1]."""
    thinned = (pictures if pictures.ndim == 2 else pictures[:, ::2, ::2]).astype(np.int16)
    return np.asarray(np.abs(np.diff(thinned, axis=0)).mean(axis=tuple(range(1, pictures.ndim))))


def share_of_repeats(change: NDArray[np.float64]) -> float:
    """The share of steps that repeat a picture, by how much each step changes (see `picture_changes`).

    A step is one if it changes next to nothing, or a tenth of what a neighbouring step changes: coding leaves small
    differences between two copies of one picture (coarse coding larger ones: such copies pass for motion). A scene that
    rests for a while counts at its ends only.
    """
    if not len(change):
        return 0.0
    beside = np.maximum(np.append(change[1:], 0), np.append(0, change[:-1]))
    return float(((change < _NO_CHANGE) | (change < _SMALL_CHANGE * beside)).mean())
