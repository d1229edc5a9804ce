"""A library by trained classes: probabilities of all its windows from the stored vectors, and the best moments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.features.embedding import sliding_view, stamp_for
from rspnet.features.read import StoredVideo, matrix
from rspnet.features.spaces import motion_of
from rspnet.features.store import Stamp
from rspnet.features.timeline import cells, events_of
from rspnet.features.window_classifier import WindowClassifier
from rspnet.search.hits import ClassHit
from rspnet.search.library import Library
from rspnet.search.library_store import Store
from rspnet.search.library_tables import About, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = ("path", "fps", "window", "start_s", "end_s")


def stamp_of_library(library: Library) -> Stamp:
    """What a store of the library's vectors would say of itself: that of `rspnet embed` with the same windows."""
    clip = library.store.about.clip
    view = sliding_view(library.embedder, window_s=clip.window_s, hop_s=clip.hop_s, clips=clip.clips, fps=clip.fps)
    return stamp_for(library.embedder, view, model=library.weights, dtype="float32")


def library_windows(
    store: Store,
    kinds: Sequence[str],
    make: Callable[[NDArray[np.floating[Any]]], NDArray[Any]],
    *,
    only: Collection[str] | None = None,
) -> Iterator[StoredVideo]:
    """The videos of a library by path, with what `make` makes of the vectors of their windows.

    Vectors are held a batch at a time; what is made of them is held for all windows.

    Args:
        store: of the library.
        kinds: of vectors ("features", "motion", "appearance"), which are joined side by side.
        make: values [m, ...] of joined vectors [m, D].
        only: paths of the videos to read; by default all.
    """
    columns = [*_OWN, *sorted({_column(kind, store.about) for kind in kinds})]
    numbers: dict[str, int] = {}
    parts: list[list[NDArray[Any]]] = []
    for batch in store.rows(columns, None if only is None else sorted(only)):
        if not batch.num_rows:
            continue
        values = make(np.concatenate([_network_vectors(batch, kind, store) for kind in kinds], axis=1))
        video = np.array([numbers.setdefault(path, len(numbers)) for path in batch["path"].to_pylist()])
        parts.append([video, *(batch[name].to_numpy() for name in _OWN[1:]), values])
    if not parts:
        return
    video, fps, window, start, end, made = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((window, video))
    borders = np.flatnonzero(np.diff(video[order])) + 1
    places = dict(zip(numbers, np.split(order, borders), strict=True))
    for path in sorted(places):
        rows = places[path]
        yield StoredVideo(path, path, float(fps[rows[0]]), start[rows], end[rows], made[rows])


def _column(kind: str, about: About) -> str:
    """The column in which the network's vectors of a kind are, or what they are made of."""
    if not about.whitened:
        return "features" if kind == "features" else "vector"
    return "appearance" if kind == "appearance" else "features"


def _network_vectors(batch: pa.RecordBatch, kind: str, store: Store) -> Vectors:
    """The vectors of a kind [n, D] of a batch of windows, as `rspnet embed` would write them."""
    stored = matrix(batch, _column(kind, store.about))
    if kind == "features":
        return stored
    if store.about.whitened:
        return motion_of(stored) if kind == "motion" else stored
    return dict(zip(("motion", "appearance"), store.parts_of(stored), strict=True))[kind]


def class_hits(videos: Sequence[StoredVideo], classifier: WindowClassifier, label: str, *, k: int) -> list[ClassHit]:
    """The k likeliest moments of a class, best first: events, and where there are too few, windows outside them.

    No two moments overlap; a video may have several.

    Args:
        videos: their values are probabilities [n, C].
        classifier: what gave them.
        label: the class.
        k: moments wanted.

    Raises:
        RSPNetError: k out of range.
    """
    if k < 1:
        raise RSPNetError(f"k is {k}; it must be at least 1")
    number = classifier.names.index(label)
    found: list[ClassHit] = []
    for video in videos:
        chances = video.values[:, number]
        events = events_of(label, *cells(video.start_s, video.end_s), chances, classifier.rules[number])
        moments = [(event.probability, event.start_s, event.end_s, True) for event in events]
        free = np.ones(len(chances), dtype=bool)
        for event in events:
            free &= (video.end_s <= event.start_s) | (video.start_s >= event.end_s)
        while free.any() and len(moments) - len(events) < k:
            place = int(np.argmax(np.where(free, chances, -np.inf)))
            start, end = float(video.start_s[place]), float(video.end_s[place])
            moments.append((float(chances[place]), start, end, False))
            free &= (video.end_s <= start) | (video.start_s >= end)
        found += [
            ClassHit(path=video.path, start_s=start, end_s=end, score=score, fps=video.fps, label=label, is_event=event)
            for score, start, end, event in moments
        ]
    return sorted(found, key=lambda hit: (-hit.score, hit.path, hit.start_s))[:k]


def search_class(library: Library, classifier: WindowClassifier, label: str, *, k: int) -> list[ClassHit]:
    """The k likeliest moments of a class in a library.

    Raises:
        ConfigError: the classifier was fitted to features that were made otherwise than the library's.
    """
    classifier.refuse_other(stamp_of_library(library), place=library.store.uri)
    videos = list(library_windows(library.store, classifier.vectors, classifier.probabilities))
    return class_hits(videos, classifier, label, k=k)
