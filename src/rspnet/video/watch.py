"""Finding frames that only repeat the previous frame, without converting a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

_SAMPLES = 48  # a side


class Watch:
    """Keeps a thin sample of some frames, as coded, on their way out of the decoder.

    A clip at speed 2 shows every other frame only, so its pictures cannot reveal a video whose every frame is doubled
    from a sound one; the frames between them can. A sample costs some ten microseconds.

    Args:
        frames: which frames to look at.
    """

    def __init__(self, frames: Iterable[int]) -> None:
        self.frames = frozenset(frames)
        self._samples: dict[int, NDArray[np.uint8]] = {}

    def add(self, index: int, frame: VideoFrame) -> None:
        """Look at a decoded frame: its first plane (luma), or its one plane."""
        plane, bits = frame.planes[0], frame.format.components[0].bits
        # Bytes stand for pixels here: of deep pixels both bytes are looked at, of packed ones all colours.
        pixel_bytes = (1 if bits <= 8 else 2) if frame.format.is_planar else frame.format.padded_bits_per_pixel // 8
        places = _lattice(frame.height, frame.width * max(1, pixel_bytes), plane.line_size)
        self._samples[index] = np.frombuffer(cast(Any, plane), np.uint8)[places]

    def pictures(self, frames: Sequence[int]) -> NDArray[np.uint8]:
        """The samples of some frames: uint8 [n, places]."""
        return np.stack([self._samples[index] for index in frames])


@lru_cache(maxsize=64)
def _lattice(height: int, width: int, line_bytes: int) -> NDArray[np.int64]:
    """Where to look in a plane: every k-th place row after row, in other columns of every row.

    On a grid of whole rows and columns a straight edge would be seen only when it crosses one of them: between, an
    even motion looks like standing still.
    """
    every = max(1, min(height, width) // _SAMPLES) ** 2
    used = next(columns for columns in range(width, 0, -1) if math.gcd(columns, every) == 1)
    rows, columns = np.divmod(np.arange(every // 2, height * used, every), used)
    return np.asarray(rows * line_bytes + columns)
