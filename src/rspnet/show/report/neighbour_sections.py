"""What the network finds alike: nearest neighbours of a few videos by both heads, and why (RoI maps) for one pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import centre_square
from rspnet.data.skipped import Skip
from rspnet.features.embedder import Embedder
from rspnet.features.neighbours import top_k
from rspnet.features.roi_maps import WORTH, RoiClip, explain, read_clip
from rspnet.features.video_stream import embedded_videos
from rspnet.features.whitening import compared_spaces
from rspnet.models.backbone import Backbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.create import require_heads
from rspnet.show.report.report_page import Film, Films, NeighbourRows, Section, Text, Tone
from rspnet.show.roi_picture import NOTE, overlay
from rspnet.video.clips import even_clips
from rspnet.video.reader import View, open_video

HEADS = {"motion": "By motion", "appearance": "By appearance"}
_QUERIES, _HITS = 4, 6
_FILM_FRAMES, _FILM_STRIDE, _FILM_SIDE = 16, 2, 120
CLIPS_PER_VIDEO = 3
_SLOW = 4.0
"""A RoI film plays at a quarter of the video's pace."""


@dataclass(frozen=True)
class Item:
    """A video and its labels (say, motion and texture), which may be empty."""

    record: VideoRecord
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """Items that could be read, and their vectors float32 [N, D] by kind."""

    items: list[Item]
    vectors: dict[str, NDArray[np.float32]]


def neighbour_sections(
    model: PretextModel, queries: Sequence[Item], gallery: Sequence[Item], *, device: str
) -> tuple[Section, Section]:
    """NeighbourRows of some queries in the gallery, and the RoI maps of the first query and its nearest by motion.

    A query that is in the gallery is no neighbour of itself.
    """
    titles = ("Nearest neighbours", "Where they are alike")
    try:
        embedder = Embedder(require_heads(model, task="report"), num_clips=CLIPS_PER_VIDEO, device=device)  # type: ignore[arg-type]
        embedder.share_cores(None)
        asked, offered = (embedded(embedder, items) for items in (spread(queries, _QUERIES), gallery))
        asked, offered = compared(asked, offered, model.backbone)
        ranked = {head: ranked_others(asked, offered, head) for head in HEADS}
        sheets = [NeighbourRows(HEADS[head], _rows(asked, offered, hits)) for head, hits in ranked.items()]
    except RSPNetError as error:
        return Section(titles[0], note=f"No neighbours: {error}"), Section(titles[1], note="No neighbours, no pair.")
    text = (
        f"Left of the line the query, then its nearest among {counted(len(offered.items), 'video')} with the cosine. "
        "Neighbours are by the vectors that rspnet search uses."
    )
    nearest = offered.items[ranked["motion"][0][0][0]]
    return Section(titles[0], [Text(text), *sheets]), _roi_section(titles[1], embedder, asked.items[0], nearest)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Up to `count` items, evenly over the list."""
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def embedded(embedder: Embedder, items: Sequence[Item]) -> Found:
    """The readable videos, each as one window.

    Raises:
        RSPNetError: none can be read.
    """
    reasons = ["there is no video"]

    def leave_out(skip: Skip) -> None:
        reasons.append(f"{skip.name}: {skip.reason}")

    of_path = {item.record.path: item for item in items}
    records = [item.record for item in of_path.values()]
    kept = list(embedded_videos(embedder, records, what="videos compared", leave_out=leave_out))
    if not kept:
        raise RSPNetError(f"no video could be read; the last was {reasons[-1]}")
    found = [embedder.window_vectors(features, CLIPS_PER_VIDEO) for features in kept]
    vectors = {kind: np.concatenate([one[kind] for one in found]) for kind in found[0]}
    return Found([of_path[video.record.path] for video in kept], vectors)


def compared(asked: Found, offered: Found, backbone: Backbone) -> tuple[Found, Found]:
    """Both in the two spaces of a search in a library of those that are offered."""
    near, queries = compared_spaces(offered.vectors, asked.vectors, backbone)
    return Found(asked.items, queries._asdict()), Found(offered.items, near._asdict())


def ranked_others(asked: Found, offered: Found, head: str) -> list[list[tuple[int, float]]]:
    """For every query its nearest others in the gallery, as (place, cosine), best first."""
    count = min(_HITS + 1, len(offered.items))
    query, gallery = (torch.from_numpy(side.vectors[head]) for side in (asked, offered))
    found = top_k(query, gallery, count)
    ranked = []
    for item, places, scores in zip(asked.items, found.indices.tolist(), found.scores.tolist(), strict=True):
        others = [
            (place, score)
            for place, score in zip(places, scores, strict=True)
            if offered.items[place].record.path != item.record.path
        ]
        if not others:
            raise RSPNetError("there is only one readable video")
        ranked.append(others[:_HITS])
    return ranked


def _rows(asked: Found, offered: Found, ranked: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[Film, list[Film]]]:
    rows = []
    for item, hits in zip(asked.items, ranked, strict=True):
        films = []
        for place, score in hits:
            other = offered.items[place]
            films.append(video_film(other, (f"{score:.3f}", *_words(other)), tone=_tone(item, other)))
        rows.append((video_film(item, ("query", *_words(item))), films))
    return rows


def _words(item: Item) -> tuple[str, ...]:
    return item.labels or (item.record.name,)


def _tone(query: Item, other: Item) -> Tone:
    same = [mine == theirs for mine, theirs in zip(query.labels, other.labels, strict=True)]
    if not same:
        return ""
    return "good" if all(same) else "mixed" if any(same) else "bad"


def video_film(item: Item, caption: Sequence[str], *, tone: Tone = "") -> Film:
    """The middle of a video, as a small film at its own pace; black where it cannot be read."""
    try:
        with open_video(item.record.path) as video:
            frames = even_clips(len(video), num_frames=_FILM_FRAMES, stride_frames=_FILM_STRIDE, num_clips=1)[0]
            box = centre_square(video.height, video.width)
            (pixels,) = video.read_views([View(frames.tolist(), box=box, size=(_FILM_SIDE, _FILM_SIDE))])
            return Film(pixels, _FILM_FRAMES * _FILM_STRIDE / video.fps, caption, tone)
    except DecodeError as error:
        black = np.zeros((1, _FILM_SIDE, _FILM_SIDE, 3), np.uint8)
        return Film(black, 1.0, (*caption, error.why), tone)


def _roi_section(title: str, embedder: Embedder, query: Item, nearest: Item) -> Section:
    try:
        first, second = (read_clip(item.record.path, embedder.cutter().shape) for item in (query, nearest))
        own, other = explain(require_heads(embedder.model, task="report"), first, second)
    except RSPNetError as error:
        return Section(title, note=f"No similarity maps: {error}")
    text = (
        f"The first query and its nearest neighbour by motion; {NOTE}. Cosines: motion {own.motion_similarity:.3f}, "
        f"appearance {own.appearance_similarity:.3f}. Of such maps by the weights rspnet-small: {WORTH}"
    )
    parts = [
        _roi_films(item, clip, {"motion (RSP)": maps.motion, "appearance (A-VID)": maps.appearance})
        for item, clip, maps in ((query, first, own), (nearest, second, other))
    ]
    return Section(title, [Text(text), *parts])


def _roi_films(item: Item, clip: RoiClip, maps: dict[str, NDArray[np.float32]]) -> Films:
    seconds = _SLOW * len(clip.shown) / clip.fps
    shown = {"clip": clip.shown, **{name: overlay(clip.shown, heat) for name, heat in maps.items()}}
    films = [Film(frames[:, ::2, ::2], seconds, (name,)) for name, frames in shown.items()]
    return Films(f"{item.record.name} at {clip.start_s:.2f} s", films)
