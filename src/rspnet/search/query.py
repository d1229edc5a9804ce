"""From queries, as vectors of windows, to ranked, located hits. Nothing here needs a network or torch."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.files import is_utf8
from rspnet.core.urls import is_url
from rspnet.search.align import best_alignment
from rspnet.search.hits import Hit
from rspnet.search.library_store import Store
from rspnet.search.library_tables import ClipRows, Vectors, joined

_CANDIDATES_PER_HIT = 8
_MIN_CANDIDATES = 64
_FEW_VIDEOS = 24
"""Of so few videos each is aligned with the query, at about 2 ms each; of more only those of the nearest clips."""
_MORE_WHERE_SOME_FALL = 4


@dataclass(frozen=True)
class Query:
    """A video, or a part of one, as a library sees it.

    Attributes:
        start_s: float64 [n], start of each window.
        end_s: float64 [n], end of each window.
        motion: float32 [n, M], unit vectors.
        appearance: float32 [n, A], unit vectors.
        content: SHA-256 of the file, empty if unknown.
    """

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    motion: NDArray[np.float32]
    appearance: NDArray[np.float32]
    content: str = ""


class ClipOf(NamedTuple):
    """A video to ask with, or its part from `start_s` to `end_s`; None is the video's end."""

    video: str | os.PathLike[str]
    start_s: float = 0.0
    end_s: float | None = None

    def check(self) -> None:
        """Raise an `RSPNetError` where the part begins before the video, or does not end behind its start."""
        start, end = self.start_s, self.end_s
        if not isinstance(start, Real) or not 0 <= start < math.inf:
            raise RSPNetError(f"{os.fspath(self.video)!r}: start_s is {start!r}; it must be seconds from 0 on")
        if end is not None and (not isinstance(end, Real) or not end > start):
            raise RSPNetError(f"{os.fspath(self.video)!r}: end_s is {end!r}; it must be after start_s, {start:g}")


def stored_query(store: Store, clip: ClipOf) -> Query | None:
    """What a library holds of a whole video, as a query; None of a part, of other videos, and of changed ones.

    The same as `Library.embed`, to rounding: the library cut the video as a query is cut.
    """
    if clip.start_s > 0 or clip.end_s is not None:
        return None
    name = os.fspath(clip.video)
    names = {name} if is_url(name) else {os.path.abspath(name), os.path.realpath(name)}  # noqa: PTH100
    storable = [spelled for spelled in names if is_utf8(spelled)]
    rows = [row for row in store.files_of(storable) if row.is_unchanged() and not row.reason]
    if not rows:
        return None
    (video,) = store.clips_of([rows[0].path])
    return Query(video.start_s, video.end_s, video.motion, video.appearance, rows[0].content)


def search(
    store: Store,
    like: Query | Sequence[Query],
    *,
    alpha: float,
    k: int,
    unlike: Sequence[Query] = (),
    not_same_video: bool = False,
    same_part: bool = False,
    within: Collection[str] | None = None,
) -> list[Hit]:
    """The k videos with the part most like the query, best first; ties by path.

    Every query window names its nearest clips; each video among these is then aligned with the query as a whole.
    Of several queries see `locate`. What the queries themselves show is no hit, unless `same_part` lets it be one.
    `within` limits the search to some of the library's videos.

    Raises:
        RSPNetError: alpha or k out of range, or no query.
    """
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise RSPNetError(f"alpha is {alpha}; it must be from 0 (appearance) to 1 (motion)")
    if not isinstance(k, Integral) or k < 1:
        raise RSPNetError(f"k is {k!r}; it must be a whole number of at least 1")
    wanted = [like] if isinstance(like, Query) else list(like)
    if not wanted:
        raise RSPNetError("there is no clip to search with: give at least one that is wanted")
    own = {query.content for query in wanted} if not_same_video else set()
    # What is like the unwanted clips falls back, so more videos are looked at than are asked for.
    quota = k * (_MORE_WHERE_SOME_FALL if unlike or len(wanted) > 1 else 1)
    asked = quota + len(wanted) * (not same_part)
    while True:
        paths: dict[str, None] = {}
        for query in wanted:
            paths.update(dict.fromkeys(_candidates(store, query, alpha=alpha, k=asked, not_content=own, within=within)))
        videos = [[video] if same_part else pieces_beside(video, wanted) for video in store.clips_of(list(paths))]
        videos = [pieces for pieces in videos if pieces]
        if len(videos) >= quota or len(paths) < asked:
            break
        asked *= 4  # copies of the queries were in the way
    hop = store.about.clip.hop_s
    found = ([locate(wanted, piece, unlike=unlike, alpha=alpha, hop_s=hop) for piece in pieces] for pieces in videos)
    hits = [max(beside, key=lambda hit: hit.score) for beside in found]
    return sorted(hits, key=lambda hit: (-hit.score, hit.path))[:k]


def pieces_beside(video: ClipRows, queries: Sequence[Query]) -> list[ClipRows]:
    """The windows of a video that share no moment with a query that was cut from it, or from a copy of it.

    What lies between two of these queries is a piece of its own, and so is what lies before and behind them: no part
    of a piece reaches into a query. Windows behind a query are counted from the first of their piece.
    """
    kept, passed = np.ones(len(video.window), dtype=bool), np.zeros(len(video.window), np.int64)
    for query in queries:
        if query.content and query.content == video.content and len(query.start_s):
            is_behind = video.start_s >= query.end_s.max()
            kept &= is_behind | (video.end_s <= query.start_s.min())
            passed += is_behind
    pieces = []
    for count in np.unique(passed[kept]):
        rows = kept & (passed == count)
        columns = ("window", "start_s", "end_s", "motion", "appearance", "features")
        piece = video if rows.all() else replace(video, **{name: getattr(video, name)[rows] for name in columns})
        pieces.append(replace(piece, window=piece.window - piece.window[0]) if count else piece)
    return pieces


def _candidates(
    store: Store, query: Query, *, alpha: float, k: int, not_content: Collection[str], within: Collection[str] | None
) -> Sequence[str]:
    """The videos of the clips nearest to each query window; asks for more clips until there are k videos."""
    if within is not None and len(within) <= _FEW_VIDEOS:
        return [file.path for file in store.files_of(list(within)) if file.content not in not_content]
    allowed = None if within is None else frozenset(within)
    total, exact = len(store), not store.approximate
    limit = max(_MIN_CANDIDATES, _CANDIDATES_PER_HIT * min(k, total))
    vectors = joined(query.motion, query.appearance, alpha=alpha)
    while True:
        found: dict[str, None] = {}
        fewest = limit
        for vector in vectors:
            near = store.nearest(vector, limit=limit, not_content=not_content, within=allowed, exact=exact)
            found.update((path, None) for path, _ in near if allowed is None or path in allowed)
            fewest = min(fewest, len(near))
        is_all = fewest < limit or limit >= total
        if len(found) >= k or (is_all and exact):
            return list(found)
        exact |= is_all  # what the index looks at has no more
        limit = total if is_all else 4 * limit


def locate(like: Sequence[Query], video: ClipRows, *, alpha: float, hop_s: float, unlike: Sequence[Query] = ()) -> Hit:
    """The part of one video that is most like some queries and least like others.

    Each query of `like` names the part that is most like it. With one query alone that is the hit. With several clips
    the scores of such a part are the mean over `like` minus the mean over `unlike`, every other clip aligned within the
    part: its similarities are summed over its best alignment there and divided by the number of its windows or of the
    part's, whichever is smaller. The part with the greatest score is the hit.

    Args:
        like: at least one query.
        video: the windows of a video of the library.
        alpha: weight of motion.
        hop_s: seconds from one window to the next.
        unlike: queries that lower the score.
    """
    parts = []
    for query in like:
        hit, first, last = _best_part(query, video, alpha=alpha, hop_s=hop_s)
        there = (video.window >= first) & (video.window <= last)
        if len(like) + len(unlike) > 1 and there.any():
            others = [_shares_within(other, video, there, alpha=alpha) for other in like if other is not query]
            wanted = np.mean([(hit.motion, hit.appearance), *others], axis=0)
            unwanted = [_shares_within(other, video, there, alpha=alpha) for other in unlike]
            motion, appearance = (wanted - (np.mean(unwanted, axis=0) if unwanted else 0)).tolist()
            score = alpha * motion + (1 - alpha) * appearance
            hit = replace(hit, score=score, motion=motion, appearance=appearance)
        parts.append(hit)
    return max(parts, key=lambda hit: hit.score)


def _best_part(query: Query, video: ClipRows, *, alpha: float, hop_s: float) -> tuple[Hit, int, int]:
    """The part most like one query, with its first and last window."""
    motion, appearance = _similarities(query, video.motion, video.appearance, video.window)
    best = best_alignment(alpha * motion + (1 - alpha) * appearance)
    (q_first, q_last), (v_first, v_last) = best.query, best.video
    pairs = (np.arange(q_first, q_last + 1), np.arange(v_first, v_last + 1))
    shares = [float(part[pairs].sum()) / len(query.motion) for part in (motion, appearance)]
    origin = float(video.start_s[0]) - hop_s * float(video.window[0])
    start = max(origin, origin + hop_s * (v_first + best.drift))
    length = float(query.end_s[q_last] - query.start_s[q_first])
    stop = float(video.end_s[-1])
    hit = Hit(
        path=video.path,
        start_s=round(max(origin, min(start, stop - length)), 6),
        end_s=round(min(start + length, stop), 6),
        score=alpha * shares[0] + (1 - alpha) * shares[1],
        motion=shares[0],
        appearance=shares[1],
        windows=q_last - q_first + 1,
        fps=video.fps,
    )
    return hit, v_first, v_last


def _shares_within(query: Query, video: ClipRows, there: NDArray[np.bool_], *, alpha: float) -> tuple[float, float]:
    """How alike a query and some neighbouring windows of a video are, in motion and in appearance; see `locate`."""
    window = video.window[there] - video.window[there][0]
    motion, appearance = _similarities(query, video.motion[there], video.appearance[there], window)
    best = best_alignment(alpha * motion + (1 - alpha) * appearance)
    pairs = tuple(np.arange(first, last + 1) for first, last in (best.query, best.video))
    count = min(motion.shape)
    return float(motion[pairs].sum()) / count, float(appearance[pairs].sum()) / count


def _similarities(
    query: Query, motion: Vectors, appearance: Vectors, window: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines of a query's windows with a video's in both spaces: [q, last window + 1] each."""
    found = [
        _by_window(mine.astype(np.float64) @ theirs.astype(np.float64).T, window)
        for mine, theirs in ((query.motion, motion), (query.appearance, appearance))
    ]
    return found[0], found[1]


def _by_window(similarity: NDArray[np.float64], window: NDArray[np.int64]) -> NDArray[np.float64]:
    """[q, n] to [q, last window + 1]: windows that could not be read count 0."""
    whole = np.zeros((len(similarity), int(window[-1]) + 1))
    whole[:, window] = similarity
    return whole
