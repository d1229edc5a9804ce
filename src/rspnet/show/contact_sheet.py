"""Contact sheets: one row a query, its frames and motion on the left, then its nearest neighbours, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.files import atomic_path, utf8
from rspnet.video.reader import open_video

_TRACE_FRAMES = 24
_TILE_INCHES, _GAP_INCHES, _TOP_INCHES, _BOTTOM_INCHES, _LINE_INCHES = 1.0, 0.22, 0.72, 0.30, 0.145
_QUERY_TILES, _HIT_TILES = 4, 2
_GREEN, _RED, _AMBER, _GREY, _INK = "#1a9641", "#d7301f", "#f0a30a", "#8a8f98", "#20242c"


@dataclass(frozen=True)
class SheetClip:
    """A clip to show.

    Attributes:
        video: uint8 RGB frames [T, H, W, 3], or a video file whose middle 24 frames to take.
        labels: what to print below it, one line each (say, motion and texture); a neighbour's line is green where it
            equals the query's line at the same place. May be empty.
    """

    video: NDArray[np.uint8] | Path
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class SheetRow:
    """A query (None where there is none to show) and its neighbours, best first, as (clip, score).

    Attributes:
        query: see above.
        hits: see above.
        heading: stands above the query.
        counted: places of the labels that count, in the colour of a neighbour's frame and of its words; None: all.
    """

    query: SheetClip | None
    hits: Sequence[tuple[SheetClip, float]]
    heading: str = "query"
    counted: tuple[int, ...] | None = None

    def counts(self, place: int) -> bool:
        """Whether the label at that place counts."""
        return self.counted is None or place in self.counted


def contact_sheet(path: Path, rows: Sequence[SheetRow], *, title: str = "", dpi: int = 130) -> Path:
    """Draw queries and their nearest neighbours to a PNG file, atomically.

    A query shows its first, middle and last frame and its motion trace; a neighbour its middle frame and motion trace
    (of the first 24 frames: about a period of most motions).
    A neighbour's frame is green if all its labels are the query's, red if none is, amber in between.

    Raises:
        RSPNetError: no rows, frames of a wrong shape or type, or the file cannot be written.
        DecodeError: a video file cannot be read.
    """
    if not rows:
        raise RSPNetError(f"cannot draw {str(path)!r}: there are no rows; give at least one query")
    num_hits = max(len(row.hits) for row in rows)
    num_lines = max((len(clip.labels) for row in rows for clip in _clips_of(row)), default=0)
    width = (
        (_QUERY_TILES if any(row.query for row in rows) else 0)
        + num_hits * _HIT_TILES * _TILE_INCHES
        + (num_hits + 2) * _GAP_INCHES
    )
    row_height = _TILE_INCHES + 0.30 + num_lines * _LINE_INCHES
    height = _TOP_INCHES + len(rows) * row_height + _BOTTOM_INCHES
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    for index, row in enumerate(rows):
        bottom = height - _TOP_INCHES - index * row_height - _TILE_INCHES
        _draw_row(figure, row, bottom / height, _TILE_INCHES / height, width=width)
    left = _GAP_INCHES / width
    bold: dict[str, Any] = {"fontsize": 13, "fontweight": "bold", "color": _INK, "va": "center"}
    figure.text(left, 1 - 0.30 / height, utf8(title), parse_math=False, **bold)  # a file's name may hold a dollar
    note = "dark picture = motion trace, from early (violet) to late (yellow)"
    figure.text(left, 0.14 / height, note + _legend(rows), fontsize=7.5, color=_GREY, va="center")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")  # PNG is drawn by Agg; no pyplot, no global state
    return Path(path)


def motion_trace(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where and when a clip moves: [T, H, W, 3] -> uint8 RGB [H, W, 3], coloured by the time of change.

    The brightness of frame differences minus their median over the picture (what a moving background changes
    everywhere) is summed in colours that run with time and scaled to its 99.5th percentile.
    """
    grey = frames.astype(np.float32).mean(axis=3)
    change = np.abs(np.diff(grey, axis=0))
    if not len(change):
        return np.zeros(frames.shape[1:], np.uint8)
    change = np.maximum(change - 1.5 * np.median(change, axis=(1, 2), keepdims=True) - 2, 0)
    colours = colormaps["plasma"](np.linspace(0.12, 0.98, len(change)))[:, :3]
    picture = np.tensordot(change, colours, axes=(0, 0))
    scale = float(np.percentile(picture, 99.5))
    return (np.clip(picture / max(scale, 1e-6), 0, 1) ** 0.7 * 255).astype(np.uint8)


def _clips_of(row: SheetRow) -> list[SheetClip]:
    return [*([row.query] if row.query else []), *(hit for hit, _ in row.hits)]


def _draw_row(figure: Figure, row: SheetRow, bottom: float, tile: float, *, width: float) -> None:
    x, wanted = _GAP_INCHES, row.query.labels if row.query else ()
    if row.query is not None:
        frames = _frames_of(row.query)
        strip = [frames[0], frames[len(frames) // 2], frames[-1], motion_trace(frames[:_TRACE_FRAMES])]
        axes = figure.add_axes((x / width, bottom, _QUERY_TILES * _TILE_INCHES / width, tile))
        _show(axes, strip, row.heading, _GREY)
        _write_labels(axes, wanted, [_INK] * len(wanted))
        x += _QUERY_TILES * _TILE_INCHES + _GAP_INCHES
    for rank, (clip, score) in enumerate(row.hits, start=1):
        frames = _frames_of(clip)
        same = [mine == theirs for mine, theirs in zip(clip.labels, wanted, strict=False)]
        axes = figure.add_axes((x / width, bottom, _HIT_TILES * _TILE_INCHES / width, tile))
        _show(
            axes,
            [frames[len(frames) // 2], motion_trace(frames[:_TRACE_FRAMES])],
            f"{rank}   {score:.3f}",
            _verdict([equal for place, equal in enumerate(same) if row.counts(place)]),
            line=2.6,
        )
        inks = [(_GREEN if equal else _RED) if row.counts(place) else _GREY for place, equal in enumerate(same)]
        _write_labels(axes, clip.labels, inks or [_GREY] * len(clip.labels))
        x += _HIT_TILES * _TILE_INCHES + _GAP_INCHES


def _show(axes: Axes, tiles: Sequence[NDArray[np.uint8]], heading: str, colour: str, *, line: float = 0.8) -> None:
    """Tiles side by side in one axes whose spines are the coloured frame."""
    gap = np.full((tiles[0].shape[0], max(1, tiles[0].shape[1] // 48), 3), 255, np.uint8)
    parts = [part for tile in tiles for part in (tile, gap)][:-1]
    axes.imshow(np.concatenate(parts, axis=1), interpolation="antialiased", aspect="equal")
    axes.set_anchor("N")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(line)
    axes.set_title(utf8(heading), fontsize=8, color=_INK, pad=4, loc="left", parse_math=False)


def _write_labels(axes: Axes, labels: Sequence[str], colours: Sequence[str]) -> None:
    for number, (label, colour) in enumerate(zip(labels, colours, strict=True)):
        text = utf8(label if len(label) <= 26 else label[:25] + "…")
        offset = (1, -5 - 72 * _LINE_INCHES * number)
        axes.annotate(
            text,
            (0, 0),
            xytext=offset,
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=7.5,
            color=colour,
            parse_math=False,
            va="top",
            annotation_clip=False,
        )


def _verdict(same: Sequence[bool]) -> str:
    if not same:
        return _GREY
    return _GREEN if all(same) else _AMBER if any(same) else _RED


def _legend(rows: Sequence[SheetRow]) -> str:
    num_labels = max(len(row.query.labels) if row.query else 0 for row in rows)
    if num_labels == 0:
        return ""
    if num_labels == 1:
        return "   ·   frame: green = the query's label, red = another"
    which = "all labels" if all(row.counted is None for row in rows) else "all words in colour"
    return f"   ·   frame: green = {which} are the query's, amber = some, red = none"


def _frames_of(clip: SheetClip) -> NDArray[np.uint8]:
    if isinstance(clip.video, np.ndarray):
        if clip.video.ndim != 4 or clip.video.shape[3] != 3 or clip.video.dtype != np.uint8 or not len(clip.video):
            raise RSPNetError(
                f"video has shape {clip.video.shape}, type {clip.video.dtype}; uint8 [T, H, W, 3] is needed"
            )
        return clip.video
    with open_video(clip.video) as video:
        first = max(0, len(video) - _TRACE_FRAMES) // 2
        return video.frames_at(range(first, min(first + _TRACE_FRAMES, len(video))))
