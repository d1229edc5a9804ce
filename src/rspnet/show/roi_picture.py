"""Drawing similarity maps over clips: a PNG strip over time like the paper's figure, and a film."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rspnet.core.files import atomic_path, utf8
from rspnet.features.roi_maps import Explanation, Pair
from rspnet.video.writer import write_video

Frames = NDArray[np.uint8]
Row = tuple[str, Frames, Mapping[str, NDArray[np.float32]]]
"""A clip's title, its frames uint8 [T, H, W, 3], and its maps [H, W] by name."""

NOTE = "colour = stands out in its clip and is alike a place of the other (blue a little, red most)"
"""How to read the maps."""
_COLUMNS = 8
_TILE_INCHES, _LEFT_INCHES, _TOP_INCHES, _TITLE_INCHES = 1.15, 1.25, 0.5, 0.3
_INK, _GREY = "#20242c", "#8a8f98"
_STRONGEST = 0.75
_MIN_FILM_SECONDS = 3.0


def overlay(frames: Frames, heat: NDArray[np.float32]) -> Frames:
    """Frames [T, H, W, 3] under a map [H, W]: the stronger the map, the more of its colour.

    Only what lies above zero is shown, on a scale that ends at the 99.5th percentile; where the map is zero or negative
    the pixels are the video's own.
    """
    positive = np.maximum(heat, 0)
    share = np.clip(positive / max(float(np.percentile(positive, 99.5)), 1e-12), 0, 1)
    colours = colormaps["turbo"](share)[..., :3] * 255
    weight = (_STRONGEST * share)[..., None]
    return np.asarray(np.rint(frames * (1 - weight) + colours * weight), np.uint8)


def draw_strip(path: Path, rows: Sequence[Row], *, title: str, dpi: int = 110) -> None:
    """Draw for every clip its frames and, below them, the same frames under each map; up to 8 frames, evenly in time.

    Raises:
        RSPNetError: the file cannot be written.
    """
    columns = min(_COLUMNS, len(rows[0][1]))
    lines = sum(1 + len(maps) for _, _, maps in rows)
    width = _LEFT_INCHES + columns * _TILE_INCHES + 0.1
    height = _TOP_INCHES + lines * _TILE_INCHES + len(rows) * _TITLE_INCHES + 0.35
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    figure.text(
        0.12 / width,
        1 - 0.25 / height,
        title,
        parse_math=False,
        fontsize=12,
        fontweight="bold",
        color=_INK,
        va="center",
    )
    top = height - _TOP_INCHES
    for name, frames, maps in rows:
        figure.text(
            0.12 / width, (top - 0.17) / height, utf8(name), parse_math=False, fontsize=9, color=_INK, va="center"
        )
        top -= _TITLE_INCHES
        chosen = np.linspace(0, len(frames) - 1, columns).round().astype(int)
        for label, pictures in _lines(frames, maps):
            top -= _TILE_INCHES
            figure.text(0.12 / width, (top + _TILE_INCHES / 2) / height, label, fontsize=8.5, color=_INK, va="center")
            for column, frame in enumerate(chosen):
                left = _LEFT_INCHES + column * _TILE_INCHES
                side = _TILE_INCHES * 0.97
                axes = figure.add_axes((left / width, top / height, side / width, side / height))
                axes.imshow(pictures[frame], interpolation="antialiased")
                axes.set_axis_off()
    figure.text(0.12 / width, 0.16 / height, NOTE, fontsize=7.5, color=_GREY, va="center")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_film(path: Path, rows: Sequence[Row], *, fps: float) -> None:
    """Write an MP4, one line a clip: the clip, then the clip under each map; looped to at least three seconds.

    Raises:
        RSPNetError: the file cannot be written.
    """
    lines = [np.concatenate([pictures for _, pictures in _lines(frames, maps)], axis=2) for _, frames, maps in rows]
    film = np.concatenate(lines, axis=1)
    rounds = math.ceil(_MIN_FILM_SECONDS * fps / len(film))
    write_video(path, (frame for _ in range(rounds) for frame in film), fps=fps)


def _lines(frames: Frames, maps: Mapping[str, NDArray[np.float32]]) -> Iterator[tuple[str, Frames]]:
    yield "clip", frames
    for name, heat in maps.items():
        yield name.replace(" (", "\n("), overlay(frames, heat)


def write_pictures(folder: Path, clips: Pair, explanations: tuple[Explanation, Explanation], *, slow: float) -> None:
    """Write roi.png (frames over time) and roi.mp4 (at 1 / `slow` of the first video's pace)."""
    write_strip(folder / "roi.png", clips, explanations)
    write_film(folder / "roi.mp4", clips, explanations, slow=slow)


def write_strip(path: Path, clips: Pair, explanations: tuple[Explanation, Explanation]) -> None:
    """Write the maps over frames of both clips, over time, as a PNG."""
    own = explanations[0]
    scores = f"cosine: motion {own.motion_similarity:.3f}, appearance {own.appearance_similarity:.3f}"
    draw_strip(path, _rows(clips, explanations), title=f"What makes these clips alike   ·   {scores}")


def write_film(path: Path, clips: Pair, explanations: tuple[Explanation, Explanation], *, slow: float) -> None:
    """Write the maps over both clips as an MP4, at 1 / `slow` of the first video's pace."""
    draw_film(path, _rows(clips, explanations), fps=max(1.0, clips[0].fps / slow))


def _rows(clips: Pair, explanations: tuple[Explanation, Explanation]) -> list[Row]:
    return [
        (
            f"{clip.path.name} at {clip.start_s:.2f} s",
            clip.shown,
            {"motion (RSP)": explanation.motion, "appearance (A-VID)": explanation.appearance},
        )
        for clip, explanation in zip(clips, explanations, strict=True)
    ]
