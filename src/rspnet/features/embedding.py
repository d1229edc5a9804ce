"""Embedding many videos into a feature store: only what is missing, as it comes, until it is done or stopped."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rspnet.core.files import is_utf8, sha256_of
from rspnet.core.packs import places_now, shards_of
from rspnet.core.ranks import gather_objects, rank
from rspnet.core.urls import as_path
from rspnet.core.weights_files import weights_file
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import VideoClips
from rspnet.features.embedder import Embedder, VideoFeatures
from rspnet.features.labelled_features import embedder_view
from rspnet.features.missing_windows import EvenWindows, MissingWindows, ReadFile
from rspnet.features.store import FeatureStore, FeatureWriter, SourceFile, Stamp
from rspnet.features.window_clips import WindowClips
from rspnet.features.windows import ClipSettings


@dataclass(frozen=True)
class EmbedView:
    """Which windows of a video become a row each.

    Attributes:
        base: lays them out.
        clips: clips of a window, whose vectors become one (see `Embedder.window_vectors`).
        settings: what the stamp says of it.
    """

    base: WindowClips | EvenWindows
    clips: int
    settings: Mapping[str, Any]


def sliding_view(embedder: Embedder, *, window_s: float, hop_s: float, clips: int, fps: float | None) -> EmbedView:
    """Windows of `window_s` seconds, every `hop_s` seconds, read at `fps` frames a second (None: native frames)."""
    settings = ClipSettings(window_s, hop_s, clips, embedder.num_frames, embedder.stride, embedder.size, fps)
    return EmbedView(
        WindowClips(settings),
        clips,
        {"window_s": window_s, "hop_s": hop_s, "clips": clips, "num_clips": None, "fps": fps},
    )


def even_view(embedder: Embedder, *, level: Literal["video", "clip"], fps: float | None) -> EmbedView:
    """Evenly spaced clips: a row a video (the means over its clips) or a row a clip."""
    shape = ClipShape(embedder.num_frames, embedder.stride, embedder.size, fps)
    even = EvenClips(shape, embedder.num_clips)
    whole = level == "video"
    return EmbedView(EvenWindows(even, whole), embedder.num_clips if whole else 1, {"level": level, "fps": fps})


def view_of_stamp(embedder: Embedder, stamp: Stamp) -> EmbedView:
    """The windows that a stamp names."""
    view = stamp.view
    if "window_s" in view:
        return sliding_view(embedder, **{name: view[name] for name in ("window_s", "hop_s", "clips", "fps")})
    return even_view(embedder, level=view["level"], fps=view["fps"])


def stamp_for(embedder: Embedder, view: EmbedView, *, model: str, dtype: Literal["float32", "float16"]) -> Stamp:
    """What a store of these features says of itself."""
    return Stamp(
        weights_sha256=sha256_of(weights_file(model)),
        view={**embedder_view(embedder), **view.settings},
        vectors=embedder.vector_lengths(),
        dtype=dtype,
        model=str(Path(model).absolute()) if Path(model).exists() else model,  # a name of weights that come with us
        version=version("rspnet"),
    )


@dataclass(frozen=True)
class EmbedPlan:
    """What is to be done.

    Attributes:
        todo: records to read, their names made unlike each other's paths (the absolute path).
        sources: what is known of their files, without content; by path.
        stored: windows that are there already, by path.
        unchanged: videos that are whole.
        dropped: videos that were forgotten: changed ones, and those that are gone.
        skipped: files that cannot be stored.
    """

    todo: list[VideoRecord]
    sources: dict[str, SourceFile]
    stored: dict[str, frozenset[int]]
    unchanged: int
    dropped: int
    skipped: list[Skip]


def plan_embedding(
    store: FeatureStore, records: Sequence[VideoRecord], *, drop_gone: bool, forget: bool = True
) -> EmbedPlan:
    """Look what is missing, and forget what has changed (rank 0 does; a collective call).

    Args:
        store: what is there.
        records: the videos wanted; a file that comes twice is done once.
        drop_gone: forget files of the store that are no more.
        forget: False only looks.
    """
    plan: EmbedPlan = gather_objects(_plan(store, records, drop_gone, forget) if rank() == 0 else None)[0]
    return plan


def _plan(store: FeatureStore, records: Sequence[VideoRecord], drop_gone: bool, forget: bool) -> EmbedPlan:
    known, seen = store.known(), set[str]()
    plan = EmbedPlan([], {}, {}, 0, 0, [])
    unchanged, stale = 0, []
    for record in records:
        path = str(record.path.absolute())
        if path in seen:
            continue
        seen.add(path)
        if not is_utf8(path):
            plan.skipped.append(Skip(record.name, "its name is not valid UTF-8: rename it"))
            continue
        old = known.get(path)
        if old is not None and not old.unchanged(record.path):
            stale.append(path)
            old = None
        if old is not None and old.whole:
            unchanged += 1
            continue
        try:
            status = record.path.stat()
            size, mtime = status.st_size, status.st_mtime_ns
        except OSError:  # reading it will say why
            size, mtime = 0, 0
        plan.todo.append(replace(record, path=as_path(path), name=path))
        plan.sources[path] = SourceFile(record.name, path, "", size, mtime)
        if old is not None:
            plan.stored[path] = old.done
    left = ("moved", "gone") if drop_gone else ("moved",)
    shards = {shards_of(path) for path in seen} - {""}  # of other shards nothing is asked
    asked = [path for path in known if path not in seen and (drop_gone or shards_of(path) in shards)]
    stale += [path for path, place in places_now(asked).items() if place in left]
    if forget:
        store.drop(stale)
    return replace(plan, unchanged=unchanged, dropped=len(stale))


@dataclass(frozen=True)
class Step:
    """A part of a video that is done.

    Attributes:
        source: its file.
        share: of the video that this part is, above 0 and at most 1.
        rows: that it gave.
        skip: why it could not be read, under the name the user knows; None where it could.
        is_last: whether the video is through.
    """

    source: SourceFile
    share: float
    rows: int
    skip: Skip | None
    is_last: bool


def clips_to_embed(plan: EmbedPlan, view: EmbedView) -> VideoClips:
    """The clips that a plan reads."""
    return VideoClips(plan.todo, MissingWindows(view.base, view.clips, plan.stored))


def embed_parts(
    plan: EmbedPlan, embedder: Embedder, view: EmbedView, writer: FeatureWriter | None
) -> Generator[Step, None, None]:
    """Read, encode and store this rank's share of the videos, part by part.

    Args:
        plan: what to read.
        embedder: the network.
        view: which windows.
        writer: where rows go; None stores nothing (to see what it costs).
    """
    facts: ReadFile | None = None
    for embedded in embedder.stream_own_parts(clips_to_embed(plan, view)):
        sample = embedded.sample
        source = plan.sources[sample.record.name]
        if sample.part == 0:
            facts = sample.facts
        rows = 0
        if embedded.features is not None and facts is not None:
            source = replace(source, content=facts.content)
            columns = _rows(
                facts, sample.part, embedded.features, embedder.window_vectors(embedded.features, view.clips)
            )
            new = ~np.isin(columns["window"], list(plan.stored.get(source.path, ())))
            rows = int(new.sum())
            if writer is not None:
                own = {name: column[new] for name, column in columns.items()}
                writer.add(source, own, windows=len(facts.video.start_s), fps=facts.video.fps)
        skip = None if sample.skip is None else Skip(source.name, sample.skip.reason)
        yield Step(source, 1 / max(1, sample.parts), rows, skip, sample.is_last)


def _rows(
    facts: ReadFile, part: int, features: VideoFeatures, vectors: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The columns of a part's windows."""
    window = np.arange(*facts.pieces[part])
    frames = features.frames.reshape(len(window), -1)
    return {
        "window": window,
        "start_s": facts.video.start_s[window],
        "end_s": facts.video.end_s[window],
        "first_frame": frames.min(axis=1),
        "last_frame": frames.max(axis=1),
        **vectors,
    }
