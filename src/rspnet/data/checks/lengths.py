"""How long the videos of a data set are, from a look at a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from rspnet.core.workers import Death, Replace
from rspnet.data.annotations import VideoRecord
from rspnet.data.reading import attempt, read_in_workers
from rspnet.data.skipped import Skip
from rspnet.video.clips import tick_frames

_LOOKED_AT = 32
_HANG_SECONDS = 10.0
_SHARE = 0.1


def count_ticks(record: VideoRecord, *, fps: float | None) -> int:
    """Ticks of `fps` (None: frames) of a video, 0 where it cannot be opened; its pictures are not decoded."""
    found = attempt(record, 0, lambda video: len(tick_frames(video.times, fps)))
    return 0 if isinstance(found, Skip) else found


def short_length(records: Sequence[VideoRecord], *, fps: float | None = None, workers: int = 1) -> int | None:
    """Frames, or ticks of `fps`, that nine of ten videos have or exceed; None where not one can be opened.

    Looks at 32 of them evenly over the list, so that the same videos give the same answer.

    Args:
        records: the videos.
        fps: ticks a second at which they are read by time, or None for native frames.
        workers: processes that look; a decoder that crashes or hangs ends one of them only.
    """
    places = np.unique(np.linspace(0, len(records) - 1, _LOOKED_AT).round().astype(int))

    def give_up(_record: VideoRecord, _death: Death) -> Replace[int]:
        return Replace(0)

    found = read_in_workers(
        partial(count_ticks, fps=fps),
        [records[place] for place in places.tolist()],
        workers=workers,
        give_up=give_up,
        hang_seconds=_HANG_SECONDS,
    )
    lengths = sorted(length for length in found if length)
    return lengths[int(_SHARE * (len(lengths) - 1))] if lengths else None
