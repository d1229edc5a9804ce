"""`rspnet search`: hits of a query as a table, a JSON file, and a contact sheet."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.table import Column, Table

from rspnet.config.search import SearchConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import write_json
from rspnet.core.progress import print_note
from rspnet.core.urls import as_path, is_url
from rspnet.data.reading import contained
from rspnet.features.roi_maps import Explanation, Pair, explain, read_clip
from rspnet.features.windows import ClipSettings
from rspnet.pretext.create import require_heads
from rspnet.runs.run_folder import open_run_folder, plain, write_result
from rspnet.search.class_search import open_window_classifier, search_class
from rspnet.search.hits import ClassHit, Hit, Moment
from rspnet.search.library import Library
from rspnet.search.query import ClipOf
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.show.roi_picture import write_pictures
from rspnet.video.reader import open_video

M = TypeVar("M", bound=Moment)
_SHEET_HITS = 8
_SHEET_FRAMES = 24
_PART = re.compile(r"(.+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)?")
_QueryPart = tuple[Path, float, float | None]
"""A video, and the seconds at which a part of it starts and ends; None is the video's end."""


def search_command(config: SearchConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: no such library or class, an unreadable query, or nothing found.
    """
    like, unlike = ([clip_of(text) for text in texts] for texts in (config.queries, config.unlike))
    for clip in (*like, *unlike):  # before seconds go into opening the library
        if not as_path(clip.video).exists():
            raise RSPNetError(f"query {str(clip.video)!r} does not exist")
    library = Library(config.library, model=config.weights, device=config.device, num_workers=1)
    if len(like) == 1 and (config.start > 0 or config.end is not None):
        like = [like[0]._replace(start_s=config.start, end_s=config.end)]
    if config.class_ is not None:
        _answer(config, library, search_class(library, *open_window_classifier(config.class_), k=config.top), None)
        return
    without = {"not_same_video": config.not_same_video, "not_same_part": not config.same_part}
    hits = library.search_like(like, unlike, alpha=config.alpha, k=config.top, **without)
    current = _answer(config, library, hits, like[0])
    if config.explain and config.out is not None:
        query, start_s, end_s = like[0]
        asked = as_path(query), (start_s, end_s), current[0], library.store.about.clip
        clips = contained(_explained, asked, as_path(query))
        write_pictures(Path(config.out), clips, explain_clips(library, clips), slow=slowness(library))


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


def _answer(config: SearchConfig, library: Library, hits: Sequence[M], query: ClipOf | None) -> list[M]:
    """Print what was found and write it; returns the hits whose files are what was indexed."""
    if not hits:
        raise RSPNetError(f"library {config.library!r} holds no other video: add some with rspnet index")
    if config.json:
        print(json.dumps(hits_as_json(config, hits), indent=2, ensure_ascii=True))
    elif sys.stdout.isatty():
        _print_table(hits)
    else:
        _print_lines(hits)
    current = up_to_date(library, hits)
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
    if config.out.endswith(".json"):
        write_hits(Path(config.out), config, hits)
    elif config.out.endswith(".png"):
        draw_hits(Path(config.out), config, query, current)
    else:
        folder = open_run_folder(config.out, config, command="search")
        write_hits(folder / "hits.json", config, hits)
        draw_hits(folder / "hits.png", config, query, current)
        stamp = plain(config) | {"weights_sha256": library.store.about.weights_sha256}
        write_result(folder, command="search", protocol=stamp, results={"hits": [asdict(hit) for hit in hits]})
    PlainConsole(stderr=True).print(f"written to {config.out}")
    return current


def up_to_date(library: Library, hits: Sequence[M]) -> list[M]:
    """The hits whose files still are what was indexed."""
    current = {row.path for row in library.store.files_of([hit.path for hit in hits]) if row.is_unchanged()}
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


def draw_hits(path: Path, config: SearchConfig, query: ClipOf | None, hits: Sequence[Moment]) -> None:
    """Draw the first query and the first hits, each by the frames of its part, as a contact sheet."""
    shown = []
    for hit in hits[:_SHEET_HITS]:
        scores = [f"{type_of(hit)} {hit.score:.2f}"]
        if isinstance(hit, Hit):
            scores = [f"motion {hit.motion:.2f}", f"appearance {hit.appearance:.2f}"]
        labels = (as_path(hit.path).name, f"{hit.start_s:.1f} to {hit.end_s:.1f} s", *scores)
        try:
            frames = _contained_frames(as_path(hit.path), hit.start_s, hit.end_s)
        except RSPNetError as error:
            print_note(PlainConsole(stderr=True), f"not on the sheet: {error}")
            continue
        shown.append((SheetClip(frames, labels), hit.score))
    if query is None:
        contact_sheet(path, [SheetRow(None, shown)], title=f"the likeliest moments of {type_of(hits[0])}")
        return
    asked = SheetClip(_contained_frames(as_path(query.video), query.start_s, query.end_s))
    others = len(config.queries) + len(config.unlike) - 1
    named = as_path(query.video).name + (f" and {others} more" if others else "")
    contact_sheet(
        path, [SheetRow(asked, shown)], title=f"{named}: alpha {config.alpha:g} (1 = by motion, 0 = by appearance)"
    )


def type_of(hit: Moment) -> str:
    """The class of a class's moment; "" of others."""
    return hit.label if isinstance(hit, ClassHit) else ""


def _explained(asked: tuple[Path, tuple[float, float | None], Hit, ClipSettings]) -> Pair:
    return clips_to_explain(*asked)


def clips_to_explain(query: Path, part: tuple[float, float | None], hit: Hit, settings: ClipSettings) -> Pair:
    """The clips in the middles of a query and of a hit.

    Args:
        query: the query's video.
        part: start and end of the query in it, in seconds; an end of None is the video's.
        hit: what was found.
        settings: how the library cuts clips.

    Raises:
        DecodeError: a video cannot be read.
    """
    shape = {"num_frames": settings.num_frames, "stride": settings.stride, "size": settings.size}
    middles = (_middle(query, *part), (hit.start_s + hit.end_s) / 2)
    first, second = (
        read_clip(path, start_s=max(0.0, middle - settings.num_frames * settings.stride / 2 / hit.fps), **shape)
        for path, middle in zip((query, as_path(hit.path)), middles, strict=True)
    )
    return first, second


def explain_clips(library: Library, clips: Pair) -> tuple[Explanation, Explanation]:
    """Where two clips are alike, by the RoI maps of both heads.

    Raises:
        RSPNetError: the library's model has not the two heads.
    """
    return explain(require_heads(library.embedder.model, task="search"), *clips)


def slowness(library: Library) -> float:
    """How much slower than the video a film of the library's clips is shown."""
    return 4 / library.store.about.clip.stride


def _frames(part: _QueryPart) -> NDArray[np.uint8]:
    """Up to 24 frames, evenly over a part of a video: uint8 [n, H, W, 3]."""
    path, start_s, end_s = part
    with open_video(path) as video:
        times = video.times - video.times[0]
        inside = np.flatnonzero((times >= start_s - 1e-6) & (times < (np.inf if end_s is None else end_s)))
        first, last = (inside[0], inside[-1]) if len(inside) else (len(times) - 1, len(times) - 1)
        chosen = np.unique(np.linspace(first, last, _SHEET_FRAMES).round().astype(int))
        return video.frames_at(chosen.tolist())


def _contained_frames(path: Path, start_s: float, end_s: float | None) -> NDArray[np.uint8]:
    """The same, read in a process of its own; raises DecodeError where the decoder crashes or hangs, too."""
    return contained(_frames, (path, start_s, end_s), path)


def _middle(path: Path, start_s: float, end_s: float | None) -> float:
    with open_video(path) as video:
        return (start_s + (float(video.times[-1] - video.times[0]) if end_s is None else end_s)) / 2


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
