"""`rspnet index`: make a folder of videos searchable."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rspnet.api.open_embedder import open_embedder
from rspnet.config.search import IndexConfig
from rspnet.core.console import PlainConsole
from rspnet.core.cost import sampled
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import real_paths, sha256_of
from rspnet.core.locks import hold
from rspnet.core.packs import unpacked
from rspnet.core.progress import print_note, track
from rspnet.core.ranks import gather_objects, on_rank_zero, rank, world_size
from rspnet.core.urls import as_path, content_of, is_url
from rspnet.core.weights_files import weights_file
from rspnet.data.annotations import VideoRecord, read_source
from rspnet.data.cuts import Layout
from rspnet.data.reading import fault_of_file, may_pass
from rspnet.data.skipped import Skip, tell_skipped
from rspnet.data.video_clips import VideoClips
from rspnet.engine.processes import join_ranks
from rspnet.engine.runtime import pick_device
from rspnet.engine.stop import StopRequest
from rspnet.features.descriptor import usual_descriptor
from rspnet.features.embedder import Embedded, Embedder, Vectors, VideoFeatures
from rspnet.features.missing_windows import ReadFile, parts_left
from rspnet.features.spaces import has_streams, usual_clips
from rspnet.features.whitening import FEWEST
from rspnet.features.window_clips import WindowClips
from rspnet.features.windows import ClipSettings
from rspnet.pretext.create import require_heads
from rspnet.pretext.outside import OutsideBackbone
from rspnet.runs.verdict import Verdict
from rspnet.search.index_cost import IndexCost, preview_index
from rspnet.search.index_plan import IndexPlan, Stored, file_row, prepare
from rspnet.search.library_space import MOST
from rspnet.search.library_store import Store
from rspnet.search.library_tables import About, ClipRows, FileRow
from rspnet.video.reader import VideoReader

_BATCH_VIDEOS, _BATCH_WINDOWS = 64, 512
"""Videos or windows after which a batch is written, also in the middle of a video: what a kill costs at most."""
_FEWEST_MERGED, _MOST_MERGED = 256, 2048
"""Batches after which small pieces on disk are merged: half of those written so far, between these bounds.

What a batch writes grows with the number of pieces; what a merge writes, with all that it merges (LanceDB: up to a
million rows), so that merging every 256 batches writes a library of a million windows 30 times.
"""


@dataclass(frozen=True)
class IndexReport:
    """What a run did: numbers of videos by outcome."""

    done: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[FileRow] = field(default_factory=list)


def index(config: IndexConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: no videos, a bad checkpoint, or a library of another model.
    """
    join_ranks(pick_device(config.device))
    embedder = open_embedder(config.weights, config, cluster=config.cluster())
    if not isinstance(embedder.model.backbone, OutsideBackbone):
        require_heads(embedder.model, task="search")
    clips = usual_clips(embedder.model.backbone) if config.num_clips is None else config.num_clips
    embedder.descriptor = usual_descriptor(clips)
    lengths = embedder.vector_lengths()
    whitened = has_streams(embedder.model.backbone) and "motion" in lengths
    lengths = {"motion": lengths["features"], "appearance": lengths["features"]} | lengths
    about = About(
        model=config.weights,
        weights_sha256=sha256_of(weights_file(config.weights)),
        precision=embedder.precision,
        **lengths,
        clip=ClipSettings(
            config.window_s,
            config.hop_s,
            clips,
            num_frames=embedder.num_frames,
            stride=embedder.stride,
            size=embedder.size,
            fps=embedder.fps,
        ),
        whitened=whitened,
        plugins_sha256=embedder.plugins_sha256,
    )
    paths = real_paths((record.path for record in read_source(config.videos)), follow=False)
    if config.dry_run:
        _preview(config.out, about, embedder, paths)
        return
    on_rank_zero(lambda: _open_alone(config.out, about))
    store = Store.open_or_create(config.out, about)
    report = update(store, embedder, paths, folder=unpacked(as_path(config.videos)))
    console = PlainConsole(stderr=True, quiet=rank() > 0)
    tell_skipped(console, [Skip(file.path, file.reason) for file in report.skipped])
    counts = f"{counted(report.done, 'video')}, {report.unchanged} unchanged, {report.removed} removed"
    text = f"{counts}, {len(report.skipped)} skipped: {counted(len(store), 'window')} in {config.out}"
    console.print(text)
    on_rank_zero(lambda: _refuse_empty(store, report.skipped))  # the others may not see yet what it has stored
    if about.whitened and 0 < len(store) < FEWEST:
        print_note(
            console, f"below {counted(FEWEST, 'window')} scores are plain cosines: unlike windows score high, too"
        )
    library = shlex.quote(config.out)
    commands = ((f"rspnet search {library} QUERY.mp4", "find moments"), (f"rspnet serve {library}", "in the browser"))
    Verdict((), commands).print_to(console)


def _preview(uri: str, about: About, embedder: Embedder, paths: Sequence[str]) -> None:
    """Say what a run would do and cost; nothing is written."""
    known: dict[str, FileRow] = {}
    if Store.exists(uri):
        store = Store(uri)
        store.refuse_other(about)
        known = store.files()
    todo = {path: row.bytes for path in paths if (row := file_row(path)) and not _is_done(known.get(path))}
    cost = IndexCost(todo, about, embedder)
    clips = VideoClips(
        [VideoRecord(as_path(path), path) for path in sampled(list(todo))], LibraryClips(WindowClips(about.clip), {})
    )
    text = preview_index(cost, lambda: embedder.stream_parts(clips)) if todo else "nothing to do"
    counts = f"{counted(len(todo), 'video')} to do, {len(paths) - len(todo)} unchanged"
    PlainConsole(quiet=rank() > 0).print(f"{counts}: {text}")


def _is_done(row: FileRow | None) -> bool:
    return row is not None and row.is_unchanged()


def _open_alone(uri: str, about: About) -> None:
    """Make the library if there is none, and keep other runs from writing to it as long as this one lives."""
    if not is_url(uri) and not Path(uri).is_file():
        hold(Path(uri))
    Store.open_or_create(uri, about)


def _refuse_empty(store: Store, skipped: Sequence[FileRow]) -> None:
    """Raise `RSPNetError` where not one video could be read, now or before."""
    if skipped and not len(store):
        first, count = skipped[0], counted(len(skipped), "video")
        raise RSPNetError(f"none of {count} could be read; the first was {first.path!r}: {first.reason}")


def update(store: Store, embedder: Embedder, paths: Sequence[str], *, folder: Path) -> IndexReport:
    """Bring the library up to date with `paths`, all the videos below `folder`.

    Only new or changed files are read; files of `folder` that are gone leave. Safe to kill at any moment: the next run
    goes on with the windows that are not stored yet. Several ranks share out the reading; rank 0 alone writes.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM stopped it; the windows that were done are stored.
    """
    plan: IndexPlan = gather_objects(prepare(store, paths, folder) if rank() == 0 else None)[0]
    clips = VideoClips(
        [VideoRecord(as_path(path), path) for path in plan.todo],
        LibraryClips(WindowClips(store.about.clip), plan.stored),
    )
    writer = _Writer(store, plan, embedder)
    parts = embedder.stream_parts(clips)
    cost = IndexCost({path: row.bytes for path, row in plan.todo.items()}, store.about, embedder)
    console = PlainConsole(stderr=True, quiet=rank() > 0)
    # Several ranks stop at once, without this: they wait for each other.
    with StopRequest() if world_size() == 1 else nullcontext() as stop:
        for embedded in track(parts, total=len(clips), what="videos", share=lambda part: 1 / max(1, part.sample.parts)):
            writer.take(embedded)
            cost.take(embedded)
            cost.tell_once(console)
            if stop is not None and stop.received:
                break
        writer.flush()
    if stop is not None and stop.received and not writer.is_done:
        console.print(f"{counted(len(store), 'window')} stored in {store.uri}; run it again to go on")
        raise KeyboardInterrupt
    if rank() == 0:
        store.tidy()
    return IndexReport(
        done=len(plan.todo) - len(writer.unchanged) - len(writer.skipped),
        unchanged=plan.unchanged + len(writer.unchanged),
        removed=plan.removed,
        skipped=[*plan.bad, *writer.skipped],
    )


@dataclass(frozen=True)
class IndexedVideo:
    """What a worker learns of a file.

    Attributes:
        file: its content and windows.
        known: what the library had, where it was made from the same content.
    """

    file: ReadFile
    known: Stored | None


@dataclass(frozen=True)
class LibraryClips:
    """The clips of a file's windows that a library lacks; the layout's facts are an `IndexedVideo`.

    Attributes:
        windows: how to cut.
        stored: what the library has, by path.
    """

    windows: WindowClips
    stored: Mapping[str, Stored]

    @property
    def size(self) -> int:
        """S, height and width of the clips in pixels."""
        return self.windows.size

    @property
    def frames_at_once(self) -> int:
        """Frames of the clips of a part."""
        return self.windows.frames_at_once

    def __call__(self, video: VideoReader, record: VideoRecord, /) -> Layout:
        """The parts that are to be read: none of a file that has only been touched."""
        layout, content = self.windows(video, record), content_of(record.path)
        known = self.stored.get(record.name)
        known = None if known is None or known.content != content else known
        everything = range(len(layout.facts.start_s))
        stored = () if known is None else everything if known.windows is None else known.windows
        left = parts_left(layout, content, clips=self.windows.settings.clips, stored=stored)
        return Layout(left.cuts, IndexedVideo(left.facts, known))


class _Writer:
    """Turns what arrives of the files into rows, and writes these in batches; files arrive one after the other.

    Attributes:
        unchanged: rows of files whose content is the old one.
        skipped: rows of files that could not be read, or not wholly.
    """

    def __init__(self, store: Store, plan: IndexPlan, embedder: Embedder) -> None:
        self._store, self._plan, self._embedder = store, plan, embedder
        self._stale = {*plan.old, *plan.stored}
        self._files: list[FileRow] = []
        self._clips: list[ClipRows] = []
        self._windows, self._touched, self._batches, self._merged, self._fit_at = 0, 0, 0, 0, MOST
        self._arrived = 0
        self._row = FileRow("", "", 0, 0, 0.0, 0, "")
        self._facts: IndexedVideo | None = None
        self.unchanged: list[FileRow] = []
        self.skipped: list[FileRow] = []

    def take(self, embedded: Embedded) -> None:
        """Take in a part of a file."""
        sample = embedded.sample
        if sample.part == 0:
            self._begin(sample.record.name, sample.facts)
        if sample.skip is not None:
            self._row = replace(self._row, reason=self._row.reason or sample.skip.reason)
        if embedded.features is not None:
            self._add(sample.part, embedded.features)
        if sample.is_last:
            self._arrived += 1
            self._end()
        if len(self._files) >= _BATCH_VIDEOS or self._windows >= _BATCH_WINDOWS:
            self.flush()

    def _begin(self, path: str, facts: IndexedVideo | None) -> None:
        self._row, self._facts = self._plan.todo[path], facts
        if facts is None:
            return
        self._row = replace(self._row, content=facts.file.content, duration_s=facts.file.video.duration_s)
        if facts.known is not None:
            self._stale.discard(path)
            self._row = replace(self._row, clips=len(facts.known.windows or ()))

    def _add(self, part: int, features: VideoFeatures) -> None:
        assert self._facts is not None
        try:
            clips, embedder = self._store.about.clip.clips, self._embedder
            vectors = embedder.search_vectors(features.clip_vectors, clips)
            rows = _clip_rows(self._row.path, self._facts.file, part, vectors)
        except Exception as error:
            self._row = replace(self._row, reason=self._row.reason or fault_of_file(error))
            return
        self._clips.append(rows)
        self._windows += len(rows.window)
        self._row = replace(self._row, clips=self._row.clips + len(rows.window))

    def _end(self) -> None:
        known = None if self._facts is None else self._facts.known
        if known is not None and known.windows is None:
            old = self._plan.old[self._row.path]
            self.unchanged.append(replace(old, bytes=self._row.bytes, mtime_ns=self._row.mtime_ns))
            return
        if self._row.reason:
            self.skipped.append(self._row)
        if not may_pass(self._row.reason):  # else the next run does it
            self._files.append(self._row)

    @property
    def is_done(self) -> bool:
        """Whether every file has arrived."""
        return self._arrived == len(self._plan.todo)

    def flush(self) -> None:
        """Write what has arrived."""
        batch = {file.path for file in self._files} | {rows.path for rows in self._clips}
        if rank() == 0 and batch:
            self._store.replace(self._files, self._clips, stale=self._stale & batch)
            self._batches += 1
            if (count := len(self._store)) > self._fit_at:  # a smaller library is fitted once, at the end
                self._store.settle()
                self._fit_at = 2 * count
            if self._batches - self._merged >= min(max(_FEWEST_MERGED, self._batches // 2), _MOST_MERGED):
                self._store.merge_pieces()
                self._merged = self._batches
        self._stale -= batch
        if rank() == 0:
            self._store.touch(self.unchanged[self._touched :])
        self._touched = len(self.unchanged)
        self._files, self._clips, self._windows = [], [], 0


def _clip_rows(path: str, file: ReadFile, part: int, vectors: Mapping[str, Vectors]) -> ClipRows:
    """The rows of a part's windows."""
    window, video = np.arange(*file.pieces[part]), file.video
    return ClipRows(
        path=path,
        content=file.content,
        fps=video.fps,
        width=video.width,
        height=video.height,
        window=window,
        start_s=video.start_s[window],
        end_s=video.end_s[window],
        **vectors,
    )
