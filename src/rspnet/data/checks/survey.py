"""How many videos a pre-training will have to leave out, reported when it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np

from rspnet.core.rng import numpy_rng
from rspnet.core.urls import as_path
from rspnet.core.workers import Death, Replace
from rspnet.data.annotations import VideoRecord
from rspnet.data.reading import attempt, read_in_workers
from rspnet.data.skipped import Skip
from rspnet.video.clips import draw_window
from rspnet.video.reader import VideoReader


@dataclass(frozen=True)
class Survey:
    """What a look at some of the videos found.

    Attributes:
        total: videos in the data set.
        looked_at: how many of them were looked at.
        unusable: those that cannot be used, with reasons.
        seconds: how long it took.
    """

    total: int
    looked_at: int
    unusable: tuple[Skip, ...]
    seconds: float

    @property
    def share(self) -> float:
        """Unusable videos among those looked at."""
        return len(self.unusable) / max(1, self.looked_at)


class Look:
    """Says why a video cannot give a window; its pictures are not decoded, so damage inside it goes unseen.

    Args:
        window: ticks of a window.
        fps: rate that videos are resampled to, or None.
    """

    def __init__(self, *, window: int, fps: float | None) -> None:
        self._window = window
        self._fps = fps

    def __call__(self, path: str) -> str:
        """The reason, "" for none."""
        found = attempt(VideoRecord(as_path(path), path), 0, self._draw)
        return found.reason if isinstance(found, Skip) else ""

    def _draw(self, video: VideoReader) -> None:
        draw_window(video.times, length=self._window, rng=np.random.default_rng(0), fps=self._fps)


def survey(records: Sequence[VideoRecord], look: Look, *, seed: int, workers: int, max_seconds: float) -> Survey:
    """Look at videos in an order drawn from the seed, for `max_seconds` at most after the first one.

    The start of the workers does not count: the loader needs the same fork server, which then is there.

    Args:
        records: the videos.
        look: what to do with each.
        seed: of the order.
        workers: processes; 0 looks from this one, where a crash of the container's reader is not contained.
        max_seconds: begin no further video after so long; one that takes so long by itself is passed over.
    """
    started = monotonic()
    order = [int(place) for place in numpy_rng(seed, "survey").permutation(len(records))]
    begun: list[int] = []
    reasons: list[str | None] = []
    deadline = float("inf")

    def paths() -> Iterator[str]:
        for place in order:
            if monotonic() > deadline:
                return
            begun.append(place)
            yield str(records[place].path)

    def give_up(_path: str, death: Death) -> Replace[str | None]:
        return Replace(None if death.hung else death.reason)  # what is slow today need not be bad

    results: Iterator[str | None] = read_in_workers(
        look, paths(), workers=workers, give_up=give_up, hang_seconds=max_seconds
    )
    for reason in results:
        if not reasons:
            deadline = monotonic() + max_seconds
        reasons.append(reason)
    seen = [(place, reason) for place, reason in zip(begun, reasons, strict=True) if reason is not None]
    unusable = tuple(Skip(records[place].name, reason) for place, reason in sorted(seen) if reason)
    return Survey(len(records), len(seen), unusable, monotonic() - started)
