"""Two transcodings of one video: the same pictures at the same times.

Not the same bytes: x264 with AVX-512 reads memory that it has not written where pictures are as small as in tests
(`MALLOC_PERTURB_=1` changes a file of 32 x 32 pixels, with `asm=avx2` it does not).
"""

from pathlib import Path

import numpy as np

from rspnet.video.reader import open_video

_LEVELS = 8.0
"""Two codings of these videos differ by up to about 3, two videos by 18 or more."""


def are_alike(first: Path, second: Path) -> bool:
    """Whether no picture differs by more than some levels on average."""
    with open_video(first) as a, open_video(second) as b:
        if len(a) != len(b) or not np.array_equal(a.times, b.times):
            return False
        pictures = [video.frames_at(range(len(video))).astype(np.float64) for video in (a, b)]
    if pictures[0].shape != pictures[1].shape:
        return False
    return bool(np.abs(pictures[0] - pictures[1]).mean(axis=(1, 2, 3)).max() < _LEVELS)
