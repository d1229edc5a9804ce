"""Embedding on a cluster that takes its time with every video, so that a test can end something before it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rspnet.data.annotations import VideoRecord
from rspnet.features import embedding_on_ray
from rspnet.features.embedder import Embedded


class _Slowly(embedding_on_ray._EmbedVideos):
    def __call__(self, records: Sequence[VideoRecord]) -> Iterator[list[Embedded]]:
        for parts in super().__call__(records):
            time.sleep(0.25)
            yield parts


def plant() -> None:
    """Give such work to the workers of this process."""
    embedding_on_ray._EmbedVideos = _Slowly  # type: ignore[misc]
