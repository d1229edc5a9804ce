"""Slow twin of rspnet.features.windows: every window of every hop looked at one by one."""

from __future__ import annotations


def windows_of(times, *, window_s, hop_s, fps):
    """(start, end, frames in it) of the windows kept: of those that start with the same frame, the last one."""
    times = [time - times[0] for time in times]
    stop = times[-1] + 1 / fps
    every, number = [], 0
    while True:
        start = number * hop_s
        end = min(start + window_s, stop)
        every.append((start, end, [i for i, time in enumerate(times) if start - 1e-6 <= time < end - 1e-6]))
        number += 1
        if start + window_s >= stop - 1e-6:
            break
    full = [window for window in every if window[2]]
    behind = [window[2][0] for window in full[1:]]
    return [window for window, first in zip(full, [*behind, None], strict=True) if first != window[2][0]]
