"""Pictures of hits: a contact sheet of their frames, and where a query and a hit are alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.config.search import SearchConfig
from rspnet.core.console import PlainConsole
from rspnet.core.errors import RSPNetError
from rspnet.core.progress import print_note
from rspnet.core.urls import as_path
from rspnet.data.reading import contained
from rspnet.features.roi_maps import Explanation, Pair, explain, read_clip
from rspnet.features.windows import ClipSettings
from rspnet.pretext.create import require_heads
from rspnet.search.hits import ClassHit, Hit, Moment
from rspnet.search.library import Library
from rspnet.search.query import ClipOf
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.show.roi_picture import write_pictures
from rspnet.video.reader import open_video

_SHEET_HITS = 8
_SHEET_FRAMES = 24
_QueryPart = tuple[Path, float, float | None]
"""A video, and the seconds at which a part of it starts and ends; None is the video's end."""


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


def write_explanation(folder: Path, library: Library, query: ClipOf, hit: Hit) -> None:
    """Write the pictures of where a query and a hit are alike into a folder.

    Raises:
        RSPNetError: a video cannot be read, or the library's model has not the two heads.
    """
    video = as_path(query.video)
    clips = contained(_explained, (video, (query.start_s, query.end_s), hit, library.store.about.clip), video)
    write_pictures(folder, clips, explain_clips(library, clips), slow=slowness(library))


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
