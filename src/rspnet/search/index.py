"""`rspnet index`: make a folder of videos searchable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rspnet.config.search import IndexConfig
from rspnet.core.console import PlainConsole
from rspnet.core.distributed import gather_objects, on_rank_zero, rank
from rspnet.core.errors import RSPNetError
from rspnet.core.files import sha256_of
from rspnet.core.progress import track
from rspnet.core.urls import as_path, content_of
from rspnet.data.annotations import read_folder
from rspnet.data.skipped import Skip
from rspnet.engine.launch import join_ranks
from rspnet.engine.runtime import pick_device, pick_workers
from rspnet.features.embedder import Embedder, VideoFeatures
from rspnet.features.windows import ClipSettings
from rspnet.pretext.methods import require_heads
from rspnet.pretext.pretrained import weights_file
from rspnet.search.cutting import CutVideo, PieceDataset, cut_video, pieces_of, window_means
from rspnet.search.store import About, ClipRows, FileRow, Store

_BATCH_VIDEOS, _BATCH_WINDOWS = 64, 512
"""Videos or windows after which a batch is written: what a kill costs at most."""


@dataclass(frozen=True)
class IndexReport:
    """What a run did: numbers of videos, by what became of them."""

    done: int = 0
    unchanged: int = 0
    removed: int = 0
    unreadable: list[FileRow] = field(default_factory=list)


def index(config: IndexConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: no videos, a bad checkpoint, or a library of another model.
    """
    join_ranks(pick_device(config.device))
    embedder = Embedder(
        config.model,
        num_frames=config.num_frames,
        stride=config.stride,
        size=config.size,
        batch_size=config.batch_size,
        num_workers=pick_workers(config.num_workers),
        device=config.device,
        precision=config.precision,
    )
    about = About(
        model=config.model,
        weights_sha256=sha256_of(weights_file(config.model)),
        precision=embedder.precision,
        dim=require_heads(embedder.model, task="search").config["feature_dim"],
        num_features=embedder.model.backbone.num_features,
        clip=ClipSettings(
            config.window_s, config.hop_s, config.clips, embedder.num_frames, embedder.stride, embedder.size
        ),
    )
    paths = [str(record.path.absolute()) for record in read_folder(config.folder)]
    on_rank_zero(lambda: Store.open_or_create(config.store, about))
    store = Store.open_or_create(config.store, about)
    report = update(store, embedder, paths, folder=as_path(config.folder))
    console = PlainConsole(stderr=True, quiet=rank() > 0)
    for file in report.unreadable:
        console.print(f"could not read {file.path!r}: {file.reason}", highlight=False, soft_wrap=True)
    counts = f"{report.done} videos done, {report.unchanged} unchanged, {report.removed} removed"
    text = f"{counts}, {len(report.unreadable)} unreadable; {len(store)} clips in {config.store}"
    console.print(text, highlight=False, soft_wrap=True)


def update(store: Store, embedder: Embedder, paths: Sequence[str], *, folder: Path) -> IndexReport:
    """Bring the library up to date with `paths`, all the videos below `folder`.

    Only new or changed files are read; files of `folder` that are gone leave. Safe to kill at any moment: a batch that
    was not finished is done again by the next run. Several ranks share out the reading; rank 0 alone writes.
    """
    todo: list[FileRow]
    report: IndexReport
    todo, report = gather_objects(_prepare(store, paths, folder) if rank() == 0 else None)[0]
    done = 0
    for finished in track(_done(store, embedder, todo), total=len(todo), what="videos"):
        done += 1
        if finished.reason:
            report.unreadable.append(finished)
    if rank() == 0:
        store.tidy()
    return replace(report, done=done)


def _prepare(store: Store, paths: Sequence[str], folder: Path) -> tuple[list[FileRow], IndexReport]:
    """Remove what is gone or half done, and say which videos are to be read."""
    store.remove_unfinished()
    known = store.files()
    below = str(folder.absolute()).rstrip("/") + "/"
    gone = [path for path in known if path.startswith(below) and path not in set(paths)]
    store.remove(gone)
    todo, touched = [], []
    for path in paths:
        old = known.get(path)
        if old is None or not old.is_unchanged():
            new = _file_row(path)
            if old is not None and new is not None and old.content == new.content:
                touched.append(replace(old, mtime_ns=new.mtime_ns))
            elif new is not None:
                todo.append(new)
    store.touch(touched)
    return todo, IndexReport(unchanged=len(paths) - len(todo), removed=len(gone))


def _file_row(path: str) -> FileRow | None:
    """What is known of a file before it is read as a video; None if it has just gone."""
    try:
        status = as_path(path).stat()
        content = content_of(as_path(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return FileRow(path, "", status.st_size, status.st_mtime_ns, 0.0, 0, error.strerror or str(error))
    return FileRow(path, content, status.st_size, status.st_mtime_ns, 0.0, 0, "")


def _done(store: Store, embedder: Embedder, todo: Sequence[FileRow]) -> Iterator[FileRow]:
    """Do the videos batch by batch; yields every file once its batch is written."""
    batch: list[tuple[FileRow, CutVideo | None]] = []
    windows = 0
    for number, file in enumerate(todo, start=1):
        cut: CutVideo | None = None
        if not file.reason:
            try:
                cut = cut_video(as_path(file.path), store.about.clip)
                windows += len(cut.windows.start_s)
            except RSPNetError as error:
                file = replace(file, reason=str(error))
        batch.append((file, cut))
        if len(batch) == _BATCH_VIDEOS or windows >= _BATCH_WINDOWS or number == len(todo):
            yield from _write_batch(store, embedder, batch)
            batch, windows = [], 0


def _write_batch(
    store: Store, embedder: Embedder, batch: Sequence[tuple[FileRow, CutVideo | None]]
) -> Sequence[FileRow]:
    pieces = [piece for _, cut in batch if cut is not None for piece in pieces_of(cut)]
    results: dict[Path, list[tuple[int, int, VideoFeatures | Skip]]] = {}
    for piece, result in zip(pieces, embedder.stream_clips(PieceDataset(pieces, store.about.clip)), strict=True):
        results.setdefault(piece.video.path, []).append((piece.first, piece.after, result))
    files, clips = [], []
    for file, cut in batch:
        if cut is not None:
            parts = results[cut.path]
            rows = _clip_rows(file, cut, parts, store.about.clip.clips)
            skips = [part.reason for _, _, part in parts if isinstance(part, Skip)]
            count = 0 if rows is None else len(rows.window)
            file = replace(file, duration_s=cut.duration_s, clips=count, reason=skips[0] if skips else "")
            clips += [] if rows is None else [rows]
        files.append(file)
    if rank() == 0:
        store.replace(files, clips)
    return files


def _clip_rows(
    file: FileRow, cut: CutVideo, parts: Sequence[tuple[int, int, VideoFeatures | Skip]], clips: int
) -> ClipRows | None:
    """The rows of a video's readable windows; None if it has none."""
    good = [(first, after, part) for first, after, part in parts if not isinstance(part, Skip)]
    if not good:
        return None
    window = np.concatenate([np.arange(first, after) for first, after, _ in good])
    return ClipRows(
        path=file.path,
        content=file.content,
        fps=cut.fps,
        width=cut.width,
        height=cut.height,
        window=window,
        start_s=cut.windows.start_s[window],
        end_s=cut.windows.end_s[window],
        motion=window_means(np.concatenate([part.motion for *_, part in good]), clips, unit=True),
        appearance=window_means(np.concatenate([part.appearance for *_, part in good]), clips, unit=True),
        features=window_means(np.concatenate([part.features for *_, part in good]), clips, unit=False),
    )
