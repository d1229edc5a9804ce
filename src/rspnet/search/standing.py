"""How a hit stands in its library: cosines of a space lie close together, ranks do not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rspnet.core.rng import numpy_rng
from rspnet.search.hits import Hit
from rspnet.search.library_store import Store
from rspnet.search.library_tables import ClipRows, FileRow
from rspnet.search.query import Query, locate

_MOST_VIDEOS = 300
_MOST_WINDOWS = 20_000


@dataclass(frozen=True)
class Rank:
    """A place among the videos of a library, or among a sample of them.

    Attributes:
        rank: 1 is most like the query.
        of: videos compared, the hit's own among them.
        is_exact: whether these are all videos.
    """

    rank: int
    of: int
    is_exact: bool

    def __str__(self) -> str:
        if self.is_exact:
            ending = "th" if 10 < self.rank % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(self.rank % 10, "th")
            return f"{self.rank:,}{ending} of {self.of:,}"
        return f"top {math.ceil(100 * self.rank / self.of)} %"

    @property
    def share(self) -> float:
        """1 for the first, 0 for the last, on a scale of ratios: from 1st to 10th is as far as from 10th to 100th."""
        return 1.0 if self.of == 1 else 1 - math.log(self.rank) / math.log(self.of)


@dataclass(frozen=True)
class Standing:
    """A hit's place by motion, and by appearance."""

    motion: Rank
    appearance: Rank


class Yardstick:
    """What hits are held against: the windows of a library's videos, of a seeded sample of them where there are many.

    Args:
        store: the library.
        files: its readable videos by path.
    """

    def __init__(self, store: Store, files: Mapping[str, FileRow]) -> None:
        self._hop_s = store.about.clip.hop_s
        order = numpy_rng("yardstick", len(files)).permutation(len(files))
        paths = sorted(files)
        chosen: list[str] = []
        windows = 0
        for index in order[:_MOST_VIDEOS]:
            windows += files[paths[index]].clips
            if chosen and windows > _MOST_WINDOWS:
                break
            chosen.append(paths[index])
        self._videos: list[ClipRows] = list(store.clips_of(chosen))
        self._is_exact = len(chosen) == len(files)

    def standings(
        self,
        hits: Sequence[Hit],
        like: Sequence[Query],
        *,
        unlike: Sequence[Query] = (),
        alpha: float,
        not_same_video: bool,
    ) -> list[Standing]:
        """Where each hit stands: every video counts by the part that a search of this kind finds in it.

        Args:
            hits: what `search` found with these queries and this `alpha`.
            like: see `locate`.
            unlike: likewise.
            alpha: weight of motion.
            not_same_video: whether files with the content of a query were left out.
        """
        own = {query.content for query in like} if not_same_video else set()
        compared = [video for video in self._videos if video.content not in own]
        others = [locate(like, video, unlike=unlike, alpha=alpha, hop_s=self._hop_s) for video in compared]
        paths = np.array([hit.path for hit in others], dtype=object)
        scores = {kind: np.array([getattr(other, kind) for other in others]) for kind in ("motion", "appearance")}
        found = []
        for hit in hits:
            there = paths != hit.path
            better = {kind: int((own[there] > getattr(hit, kind) + 1e-9).sum()) for kind, own in scores.items()}
            ranks = {kind: Rank(more + 1, int(there.sum()) + 1, self._is_exact) for kind, more in better.items()}
            found.append(Standing(**ranks))
        return found
