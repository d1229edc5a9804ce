"""Frames of a part of a video; a module by itself, for a quick start of the process that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.video.reader import open_video


def frames_of_part(part: tuple[Path, float, float | None, int]) -> NDArray[np.uint8]:
    """Up to so many frames, evenly over a part of a video: uint8 [n, H, W, 3].

    Args:
        part: the video, second at which the part starts, second at which it ends (None: the video's end), frames.
    """
    path, start_s, end_s, most = part
    with open_video(path) as video:
        times = video.times - video.times[0]
        inside = np.flatnonzero((times >= start_s - 1e-6) & (times < (np.inf if end_s is None else end_s)))
        first, last = (inside[0], inside[-1]) if len(inside) else (len(times) - 1, len(times) - 1)
        return video.frames_at(np.unique(np.linspace(first, last, most).round().astype(int)).tolist())
