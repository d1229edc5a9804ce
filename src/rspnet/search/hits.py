"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A part of a library's video.

    Attributes:
        path: the video.
        start_s: second at which the part starts.
        end_s: second at which it ends.
        score: what moments are ranked by.
        fps: frames of the video a second.
    """

    path: str
    start_s: float
    end_s: float
    score: float
    fps: float


@dataclass(frozen=True, kw_only=True)
class Hit(Moment):
    """A part that is like the query.

    `score` is exactly alpha * motion + (1 - alpha) * appearance, alpha being that of the search.

    Attributes:
        motion: mean cosine of the query's windows with theirs in the space of motion; a query window that has no
            counterpart in the part counts 0. Of several queries: see `rspnet.search.query.locate`.
        appearance: the same in the space of appearance.
        windows: windows of the query that have a counterpart.
    """

    motion: float
    appearance: float
    windows: int


@dataclass(frozen=True, kw_only=True)
class ClassHit(Moment):
    """A part in which a trained class seems to happen; `score` is its probability, the mean over the part's windows.

    Attributes:
        label: the class.
        is_event: whether the classifier's rules make an event of it; else it is a window below their threshold.
    """

    label: str
    is_event: bool
