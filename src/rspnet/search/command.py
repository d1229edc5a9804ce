"""`rspnet search`: hits of a query as a table, a JSON file, and a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from rspnet.config.search import SearchConfig
from rspnet.core.errors import RSPNetError
from rspnet.core.files import write_json
from rspnet.pretext.methods import require_heads
from rspnet.search.hits import Hit
from rspnet.search.query import Library
from rspnet.tasks.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.tasks.roi import explain, read_clip, write_pictures
from rspnet.tasks.run_folder import open_run_folder, plain, write_result
from rspnet.video.reader import open_video

_SHEET_HITS = 8
_SHEET_FRAMES = 24


def search_command(config: SearchConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: no such library, an unreadable query, or nothing found.
    """
    library = Library(config.store, model=config.model, device=config.device)
    hits = library.search(
        config.query,
        start_s=config.start,
        end_s=config.end,
        alpha=config.alpha,
        k=config.k,
        not_same_video=config.not_same_video,
    )
    if not hits:
        raise RSPNetError(f"library {config.store!r} holds no other video: add some with rspnet index")
    _print(hits)
    out = config.out
    if out is None:
        return
    if out.endswith(".json"):
        write_hits(Path(out), config, hits)
    elif out.endswith(".png"):
        draw_hits(Path(out), config, hits)
    else:
        folder = open_run_folder(out, config)
        write_hits(folder / "hits.json", config, hits)
        draw_hits(folder / "hits.png", config, hits)
        if config.explain:
            explain_hit(library, config, hits[0], folder)
        stamp = plain(config) | {"weights_sha256": library.store.about.weights_sha256}
        write_result(folder, command="search", protocol=stamp, results={"hits": [asdict(hit) for hit in hits]})


def write_hits(path: Path, config: SearchConfig, hits: Sequence[Hit]) -> None:
    """Write the query and its hits as JSON."""
    query = {name: value for name, value in plain(config).items() if name in ("query", "start", "end", "alpha")}
    write_json(path, {**query, "store": config.store, "hits": [asdict(hit) for hit in hits]})


def draw_hits(path: Path, config: SearchConfig, hits: Sequence[Hit]) -> None:
    """Draw the query and its first hits, each by the frames of its part, as a contact sheet."""
    query = SheetClip(_frames(Path(config.query), config.start, config.end))
    shown = []
    for hit in hits[:_SHEET_HITS]:
        scores = f"motion {hit.motion:.2f}  look {hit.appearance:.2f}"
        labels = (Path(hit.path).name, f"{hit.start_s:.1f} to {hit.end_s:.1f} s", scores)
        shown.append((SheetClip(_frames(Path(hit.path), hit.start_s, hit.end_s), labels), hit.score))
    title = f"{Path(config.query).name}: alpha {config.alpha:g} (1 = by motion, 0 = by appearance)"
    contact_sheet(path, [SheetRow(query, shown)], title=title)


def explain_hit(library: Library, config: SearchConfig, hit: Hit, folder: Path) -> None:
    """Draw why a hit is alike: RoI maps of the middles of query and hit."""
    clip = library.store.about.clip
    shape = {"num_frames": clip.num_frames, "stride": clip.stride, "size": clip.size}
    middles = (_middle(Path(config.query), config.start, config.end), (hit.start_s + hit.end_s) / 2)
    pair = [
        read_clip(path, start_s=max(0.0, middle - clip.num_frames * clip.stride / 2 / hit.fps), **shape)
        for path, middle in zip((Path(config.query), Path(hit.path)), middles, strict=True)
    ]
    maps = explain(require_heads(library.embedder.model, task="search"), pair[0], pair[1])
    write_pictures(folder, (pair[0], pair[1]), maps, slow=4 / clip.stride)


def _frames(path: Path, start_s: float, end_s: float | None) -> np.ndarray:
    """Up to 24 frames, evenly over a part of a video: uint8 [n, H, W, 3]."""
    with open_video(path) as video:
        times = video.times - video.times[0]
        inside = np.flatnonzero((times >= start_s - 1e-6) & (times < (np.inf if end_s is None else end_s)))
        first, last = (inside[0], inside[-1]) if len(inside) else (len(times) - 1, len(times) - 1)
        chosen = np.unique(np.linspace(first, last, _SHEET_FRAMES).round().astype(int))
        return video.frames_at(chosen.tolist())


def _middle(path: Path, start_s: float, end_s: float | None) -> float:
    with open_video(path) as video:
        return (start_s + (float(video.times[-1] - video.times[0]) if end_s is None else end_s)) / 2


def _print(hits: Sequence[Hit]) -> None:
    table = Table("", "score", "motion", "appearance", "from", "to", Column("video", overflow="fold"))
    for rank, hit in enumerate(hits, start=1):
        scores = (f"{value:.3f}" for value in (hit.score, hit.motion, hit.appearance))
        table.add_row(str(rank), *scores, f"{hit.start_s:.2f} s", f"{hit.end_s:.2f} s", hit.path)
    Console().print(table)
