"""How long the videos of a data set are, from a look at a few of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rspnet.core.errors import RSPNetError
from rspnet.core.workers import Death, Replace, ordered_map
from rspnet.data.annotations import VideoRecord
from rspnet.video.reader import open_video

_LOOKED_AT = 32
_HANG_SECONDS = 10.0
_SHARE = 0.1


def count_frames(path: str) -> int:
    """Frames of a video, 0 where it cannot be opened; its pictures are not decoded."""
    try:
        with open_video(path) as video:
            return len(video)
    except RSPNetError:
        return 0


def short_length(records: Sequence[VideoRecord], *, workers: int = 1) -> int | None:
    """Frames that nine of ten videos have or exceed; None where not one can be opened.

    Looks at 32 of them evenly over the list, so that the same videos give the same answer, each in a worker process.

    Args:
        records: the videos.
        workers: processes.
    """
    places = np.unique(np.linspace(0, len(records) - 1, _LOOKED_AT).round().astype(int))
    paths = [str(records[place].path) for place in places.tolist()]

    def after_death(_path: str, _death: Death) -> Replace[int]:
        return Replace(0)

    found = ordered_map(
        count_frames,
        paths,
        workers=workers,
        after_death=after_death,
        hang_seconds=_HANG_SECONDS,
        preload=["rspnet.data.loader"],
    )
    lengths = sorted(length for length in found if length)
    return lengths[int(_SHARE * (len(lengths) - 1))] if lengths else None
