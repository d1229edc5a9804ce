"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hit:
    """A part of a library's video that is like the query.

    `score` is exactly alpha * motion + (1 - alpha) * appearance.

    Attributes:
        path: the video.
        start_s: second at which the part starts.
        end_s: second at which it ends.
        score: of the search's alpha; what hits are ranked by.
        motion: mean cosine of the query's windows with theirs in the RSP head's space; a query window that has no
            counterpart in the part counts 0.
        appearance: the same in the A-VID head's space.
        windows: windows of the query that have a counterpart.
        fps: frames of the video a second.
    """

    path: str
    start_s: float
    end_s: float
    score: float
    motion: float
    appearance: float
    windows: int
    fps: float
