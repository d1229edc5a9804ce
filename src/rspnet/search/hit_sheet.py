"""A contact sheet of hits; drawn without torch."""

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
from rspnet.search.hits import ClassHit, Hit, Moment
from rspnet.search.query import ClipOf
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.video.part_frames import frames_of_part

_SHEET_HITS = 8
_SHEET_FRAMES = 24


def _named(clip: ClipOf) -> str:
    """The name of a video, and which part of it."""
    part = f" to {clip.end_s:g} s" if clip.end_s is not None else " s to its end" if clip.start_s else ""
    return as_path(clip.video).name + (f", {clip.start_s:g}{part}" if part else "")


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
    named = _named(query) + (f" and {others} more" if others else "")
    contact_sheet(
        path, [SheetRow(asked, shown)], title=f"{named}: alpha {config.alpha:g} (1 = by motion, 0 = by appearance)"
    )


def type_of(hit: Moment) -> str:
    """The class of a class's moment; "" of others."""
    return hit.label if isinstance(hit, ClassHit) else ""


def _contained_frames(path: Path, start_s: float, end_s: float | None) -> NDArray[np.uint8]:
    """Frames of a part, read in a process of its own; raises DecodeError where the decoder crashes or hangs, too."""
    part = (path, start_s, end_s, _SHEET_FRAMES)
    return contained(frames_of_part, part, path, preload=(frames_of_part.__module__,))
