"""Embedding over a Ray cluster: each worker holds the network, and reads videos as a single machine does.

A worker gets records and gives vectors: pixels stay on the machine that decoded them. Decoders run in processes of
their own there, too (`data.reading`), so a file that ends its decoder costs that file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from rspnet.core.ray_jobs import Lost, RayCluster, ray_map
from rspnet.core.workers import LOST
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import Cutter
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import EvalSample, VideoClips
from rspnet.features.embedder import Embedded, Embedder
from rspnet.pretext.base import PretextModel


@dataclass(frozen=True)
class _Copy:
    """What makes the same embedder in another process.

    Attributes:
        model: on the CPU.
        pooling: see `Embedder`.
        batch_size: see `Embedder`.
        precision: see `Embedder`; resolved, so that all workers compute alike.
        device: "cpu" or "cuda".
        readers: processes that decode.
    """

    model: PretextModel
    pooling: str
    batch_size: int
    precision: str
    device: str
    readers: int

    def opened(self) -> Embedder:
        """The embedder."""
        return Embedder(
            self.model,
            pooling=self.pooling,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            precision=self.precision,
            device=self.device,  # type: ignore[arg-type]
            num_workers=self.readers,
        )


class _EmbedVideos:
    """Turns records into the parts of their videos, each video's together."""

    def __init__(self, copy: _Copy, cutter: Cutter) -> None:
        if copy.device == "cpu":
            torch.set_num_threads(1)  # workers are the parallelism
        self._embedder, self._cutter = copy.opened(), cutter

    def __call__(self, records: Sequence[VideoRecord]) -> Iterator[list[Embedded]]:
        parts: list[Embedded] = []
        for part in self._embedder.stream_own_parts(VideoClips(records, self._cutter)):
            parts.append(part)
            if part.sample.is_last:
                yield parts
                parts = []


def embed_on_ray(embedder: Embedder, clips: VideoClips, *, cluster: RayCluster) -> Iterator[Embedded]:
    """Features of every part of every video: the parts of a video in turn, the videos as they come.

    Args:
        embedder: what each worker makes a copy of; `num_workers` of it decode in each.
        clips: what is read.
        cluster: where.

    Raises:
        RSPNetError: see `ray_map`.
    """
    copy = _Copy(
        model=embedder.model.to("cpu"),
        pooling=embedder.pooling,
        batch_size=embedder.batch_size,
        precision=embedder.precision,
        device="cuda" if cluster.num_gpus else "cpu",
        readers=embedder.num_workers,
    )
    make = partial(_EmbedVideos, copy, clips.cutter)
    for _, found in ray_map(make, clips.records, cluster):
        if isinstance(found, Lost):
            yield Embedded(EvalSample(found.task, None, None, Skip(found.task.name, LOST)), None)
        else:
            yield from found
