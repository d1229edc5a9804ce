"""A picture of what a network finds alike: a few videos and their nearest among others, by motion and by appearance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rspnet.data.annotations import VideoRecord
from rspnet.features.embedder import Embedder
from rspnet.pretext.rspnet import RSPNet
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.show.report.neighbour_sections import (
    CLIPS_PER_VIDEO,
    HEADS,
    Item,
    compared,
    embedded,
    ranked_others,
    spread,
)

SHEET = "neighbours.png"
_QUERIES, _GALLERY = 2, 48


def neighbour_sheet(
    path: Path,
    model: RSPNet,
    queries: Sequence[VideoRecord],
    gallery: Sequence[VideoRecord],
    *,
    device: Literal["cpu", "cuda"],
) -> Path:
    """Draw two of the queries and their nearest among 48 videos of the gallery (a collective call).

    Args:
        path: of the PNG file.
        model: the network.
        queries: videos to ask with, two of them are taken.
        gallery: videos to find.
        device: where it computes.

    Raises:
        RSPNetError: none of the videos can be read.
    """
    embedder = Embedder(model, num_clips=CLIPS_PER_VIDEO, device=device)
    parts = ((queries, _QUERIES), (gallery, _GALLERY))
    asked, offered = (embedded(embedder, spread([Item(record) for record in part], most)) for part, most in parts)
    asked, offered = compared(asked, offered, model.backbone)
    rows = [
        SheetRow(
            _clip(item), [(_clip(offered.items[place]), score) for place, score in hits], f"query, {words.lower()}"
        )
        for head, words in HEADS.items()
        for item, hits in zip(asked.items, ranked_others(asked, offered, head), strict=True)
    ]
    return contact_sheet(path, rows, title="Videos that were not trained on, and their nearest of those that were")


def _clip(item: Item) -> SheetClip:
    return SheetClip(item.record.path, (item.record.name,))
