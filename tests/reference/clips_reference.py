"""Slow twins of rspnet.video.clips: plain loops over frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median


def nearest_frame(times: Sequence[float], second: float) -> int:
    """The frame nearest to a time, the earlier one of two."""
    best = 0
    for index, time in enumerate(times):
        if abs(time - second) < abs(times[best] - second) - 1e-9:
            best = index
    return best


def without_pauses(times: Sequence[float], fps: float) -> list[float]:
    """Times whose steps count for 10 usual steps, or 16 ticks, at the most."""
    steps = [after - before for before, after in pairwise(times)]
    longest = 16 / fps
    if steps and median(steps) > 0:
        longest = min(longest, 10 * median(steps))
    shortened = [times[0]]
    for step in steps:
        shortened.append(shortened[-1] + min(step, longest))
    return shortened


def window_is_even(times: Sequence[float]) -> bool:
    """Whether a window's timestamps lie on a line."""
    intervals = [after - before for before, after in pairwise(times)]
    middle = min(median(intervals), sum(intervals) / len(intervals))
    slope = (times[-1] - times[0]) / (len(times) - 1)
    for index, time in enumerate(times):
        if abs(time - (times[0] + index * slope)) > middle * 0.5 + 1e-6 * middle:
            return False
    return all(0 < interval < 1.75 * middle for interval in intervals)
