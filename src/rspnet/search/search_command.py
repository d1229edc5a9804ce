"""`rspnet search`: hits of a query as a table, a JSON file, and a contact sheet."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.table import Column, Table

from rspnet.config.search import SearchConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import refuse_address, write_json
from rspnet.core.progress import print_note
from rspnet.core.urls import as_path, is_url
from rspnet.core.workers import start_early
from rspnet.data import READERS
from rspnet.features.window_classifier import open_window_classifier
from rspnet.runs.run_folder import as_folder, open_run_folder, plain, refuse_taken, write_result
from rspnet.search.hits import ClassHit, Hit, Moment
from rspnet.search.library_store import Store
from rspnet.search.query import ClipOf, Query, search, stored_query

if TYPE_CHECKING:
    from rspnet.search.library import Library

M = TypeVar("M", bound=Moment)
_FILES = _TABLE, _SHEET = ".json", ".png"
_OTHER_FILES = (*_FILES, ".csv", ".tsv", ".txt", ".html", ".yaml", ".npz", ".jpg", ".jpeg", ".svg", ".pdf", ".mp4")
"""Endings, in small letters, that mean a file of a kind that is not written."""
_PART = re.compile(r"(.+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)?")


def search_command(config: SearchConfig) -> None:
    """Run the command.

    Raises:
        ConfigError: results cannot go where `--out` says.
        RSPNetError: no such library or class, an unreadable query, or nothing found.
    """
    if config.out is not None:
        _refuse_out(config.out)
    like, unlike = clips_of(config.queries), clips_of(config.unlike)
    if len(like) == 1:
        if config.start > 0 or config.end is not None:
            if like[0] != ClipOf(like[0].video):
                raise ConfigError(f"--start, --end: {config.queries[0]!r} names its part already; give one of the two")
            like = [like[0]._replace(start_s=config.start, end_s=config.end)]
        config = replace(config, start=like[0].start_s, end=like[0].end_s)  # for the results, however it was said
    library = cache(partial(_open, config))
    if config.class_ is not None:
        _answer_class(config, library(), config.class_)
        return
    store = Store(config.library)
    wanted, unwanted = (_queries(store, clips, library, stored=config.weights is None) for clips in (like, unlike))
    hits = search(
        store,
        wanted,
        unlike=unwanted,
        alpha=config.alpha,
        k=config.top,
        not_same_video=config.not_same_video,
        same_part=config.same_part,
    )
    current = _answer(config, store, hits, like[0])
    if config.explain and config.out is not None:
        from rspnet.search.hit_pictures import write_explanation

        write_explanation(Path(config.out), library(), like[0], current[0])


def _refuse_out(out: str) -> None:
    """Raise `ConfigError` before anything is searched where results could not be written in the end."""
    file = Path(out)
    if out.endswith(_FILES):
        refuse_address("--out", out)
        as_folder(str(file.parent))
        if file.is_dir():
            raise ConfigError(f"--out {out!r} is a folder that ends like a file: name another one")
    elif file.suffix.lower() in _OTHER_FILES and not file.exists():
        raise ConfigError(f"--out {out!r}: no such files are written; name hits.json, hits.png or a folder")
    else:
        refuse_taken(out, command="search")


def _open(config: SearchConfig) -> Library:
    """The library with its network; processes that read queries start while this one imports."""
    start_early(READERS)
    from rspnet.search.library import Library

    return Library(config.library, weights=config.weights, device=config.device, num_workers=1)


def _answer_class(config: SearchConfig, library: Library, name: str) -> None:
    from rspnet.search.class_search import search_class

    _answer(config, library.store, search_class(library, *open_window_classifier(name), k=config.top), None)


def _queries(store: Store, clips: Sequence[ClipOf], library: Callable[[], Library], *, stored: bool) -> list[Query]:
    """What is stored of clips that are whole videos of the library, what its network makes of the others.

    Where all is stored, neither torch nor the checkpoint is needed: their start is most of what a search takes.
    """
    known = [stored_query(store, clip) if stored else None for clip in clips]
    return [
        library().embed(clip.video, start_s=clip.start_s, end_s=clip.end_s) if query is None else query
        for clip, query in zip(clips, known, strict=True)
    ]


def clips_of(texts: Sequence[str]) -> list[ClipOf]:
    """The parts of videos that queries name; see `clip_of`.

    Raises:
        RSPNetError: a video is not there, or as `clip_of`.
    """
    clips = [clip_of(text) for text in texts]
    for clip in clips:
        if not as_path(clip.video).exists():
            raise RSPNetError(f"query {str(clip.video)!r} does not exist")
    return clips


def clip_of(text: str) -> ClipOf:
    """The part of a video that VIDEO@START-END names; a file of that very name is that file.

    Raises:
        RSPNetError: the end does not come after the start.
    """
    found = None if as_path(text).exists() else _PART.fullmatch(text)
    if found is None:
        return ClipOf(text)
    start, end = float(found[2]), float(found[3]) if found[3] else None
    if end is not None and end <= start:
        raise RSPNetError(f"{text!r}: the end, {end:g}, must come after the start")
    return ClipOf(found[1], start, end)


def _answer(config: SearchConfig, store: Store, hits: Sequence[M], query: ClipOf | None) -> list[M]:
    """Print what was found and write it; returns the hits whose files are what was indexed."""
    if not hits:
        raise RSPNetError(f"library {config.library!r} holds no other video: add some with rspnet index")
    if config.json:
        print(json.dumps(hits_as_json(config, hits), indent=2, ensure_ascii=True))
    elif sys.stdout.isatty():
        _print_table(hits)
    else:
        _print_lines(hits)
    current = up_to_date(store, hits)
    if len(current) < len(hits):
        first = next(hit for hit in hits if hit not in current)
        stale = (
            f"{len(hits) - len(current)} of {counted(len(hits), 'hit')} are of files that have gone or changed "
            f"since (the first: "
            f"{first.path!r}): library {config.library!r} is out of date, run rspnet index on its folder again"
        )
        if config.out is not None and not current:
            raise RSPNetError(stale)
        print_note(PlainConsole(stderr=True), stale)
    if config.out is None:
        return current
    if config.out.endswith(_TABLE):
        write_hits(Path(config.out), config, hits)
    elif config.out.endswith(_SHEET):
        _draw(Path(config.out), config, query, current)
    else:
        folder = open_run_folder(config.out, config, command="search")
        write_hits(folder / "hits.json", config, hits)
        _draw(folder / "hits.png", config, query, current)
        stamp = plain(config) | {"weights_sha256": store.about.weights_sha256}
        write_result(folder, command="search", protocol=stamp, results={"hits": [asdict(hit) for hit in hits]})
    PlainConsole(stderr=True).print(f"written to {config.out}")
    return current


def _draw(file: Path, config: SearchConfig, query: ClipOf | None, hits: Sequence[Moment]) -> None:
    from rspnet.search.hit_sheet import draw_hits  # loads matplotlib

    draw_hits(file, config, query, hits)


def up_to_date(store: Store, hits: Sequence[M]) -> list[M]:
    """The hits whose files still are what was indexed."""
    current = {row.path for row in store.files_of([hit.path for hit in hits]) if row.is_unchanged()}
    return [hit for hit in hits if hit.path in current]


def write_hits(path: Path, config: SearchConfig, hits: Sequence[Moment]) -> None:
    """Write the queries (or the class) and the hits as JSON."""
    write_json(path, hits_as_json(config, hits))


def hits_as_json(config: SearchConfig, hits: Sequence[Moment]) -> dict[str, Any]:
    """The queries (or the class) and the hits as plain values."""
    options = plain(config)
    asked = ("class_",) if config.class_ is not None else ("queries", "unlike", "start", "end", "alpha")
    query = {name.removesuffix("_"): options[name] for name in asked}
    return {**query, "library": config.library, "hits": [asdict(hit) for hit in hits]}


def _columns(hits: Sequence[Moment]) -> tuple[str, str]:
    return ("motion", "appearance") if isinstance(hits[0], Hit) else ("class", "event")


def _facts(hit: Moment) -> tuple[str, str]:
    if isinstance(hit, ClassHit):
        return hit.label, "yes" if hit.is_event else "below the threshold"
    return (f"{hit.motion:.3f}", f"{hit.appearance:.3f}") if isinstance(hit, Hit) else ("", "")


def _print_table(hits: Sequence[Moment]) -> None:
    """For a terminal: paths relative to the folder that all of them lie in, which the title names."""
    shown, folder = below_one_folder([hit.path for hit in hits])
    title = f"in {folder}" if folder else None
    table = Table("", "score", *_columns(hits), "from", "to", Column("video", overflow="fold"), title=title)
    for rank, (hit, name) in enumerate(zip(hits, shown, strict=True), start=1):
        times = (f"{hit.start_s:.2f} s", f"{hit.end_s:.2f} s")
        table.add_row(str(rank), f"{hit.score:.3f}", *_facts(hit), *times, name)
    PlainConsole().print(table)


def _print_lines(hits: Sequence[Moment]) -> None:
    """For other programs: one line a hit, tabs between the columns, whole paths."""
    print("\t".join(["rank", "score", *_columns(hits), "start_s", "end_s", "path"]))
    for rank, hit in enumerate(hits, start=1):
        row = [str(rank), f"{hit.score:.3f}", *_facts(hit), f"{hit.start_s:.2f}", f"{hit.end_s:.2f}", hit.path]
        print("\t".join(row))


def below_one_folder(paths: Sequence[str]) -> tuple[list[str], str]:
    """The paths relative to the deepest folder that holds all of them, and the folder; "" where there is none."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120 - may be addresses
    except ValueError:
        return list(paths), ""
    if len(folder) < 2 or any(is_url(path) for path in paths):
        return list(paths), ""
    return [os.path.relpath(path, folder) for path in paths], folder
