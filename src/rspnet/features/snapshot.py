"""Two quick looks at what a network knows: is relative speed recognised, do neighbours share a label?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.batches import make_views
from rspnet.data.clip_tasks import Speeds
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import Skip
from rspnet.features.embedder import Embedder, Vectors
from rspnet.features.neighbours import recall_at_k
from rspnet.features.video_stream import embedded_videos
from rspnet.losses.ranking import ranking_accuracy
from rspnet.pretext.rspnet import RSPNet


@torch.no_grad()
def speed_accuracy(
    model: RSPNet,
    records: Sequence[VideoRecord],
    *,
    played: Speeds,
    rounds: int,
    seed: int,
    fps: float | None = None,
    batch_size: int = 32,
) -> float:
    """RSP accuracy on held-out videos: how often two clips of one video at one speed are more alike than at two.

    All three clips go through the query encoder in eval mode, under the published augmentation; chance is 0.5.

    Args:
        model: on any device; it stays in eval mode.
        records: the videos; one that cannot be used is replaced by another.
        played: the slow and the fast speeds.
        rounds: how often each video is asked about.
        seed: of clips and augmentation.
        fps: rate that videos are resampled to first.
        batch_size: clips at once, at most.

    Raises:
        TooManySkippedError: hardly one of the videos can be used.
    """
    config, device = model.config, next(model.parameters()).device
    dataset = ClipPairDataset(
        records,
        num_frames=config["num_frames"],
        speeds=played.fast,
        size=config["size"],
        preset=augment_preset("published"),
        seed=seed,
        fps=fps,
    )
    batch_size = min(batch_size, len(records))
    steps = len(records) * rounds // batch_size
    sampler = PairSampler(
        len(records), batch_size=batch_size, seed=seed, speeds=played.fast, base_speed=played.base, total_steps=steps
    )
    model.eval()
    accuracies = []
    for batch in make_loader(dataset, sampler, num_workers=0):
        query, same, other = (model.encoder(view).motion for view in make_views(batch.to(device)))
        accuracies.append(ranking_accuracy(query, same, other).item())
    return float(np.mean(accuracies))


def window_per_video(embedder: Embedder, records: Sequence[VideoRecord]) -> dict[str, Vectors]:
    """Every video as one window: vectors [N, length] by kind, see `Embedder.window_vectors`.

    Raises:
        RSPNetError: a video cannot be read.
    """

    def refuse(skip: Skip) -> None:
        raise RSPNetError(f"{skip.name}: {skip.reason}")

    made = embedded_videos(embedder, records, what="videos", leave_out=refuse)
    found = [embedder.window_vectors(one, embedder.num_clips) for one in made]
    return {kind: np.concatenate([one[kind] for one in found]) for kind in found[0]}


def recall_at_1(
    queries: Vectors, gallery: Vectors, query_labels: Sequence[str], gallery_labels: Sequence[str]
) -> float:
    """Share of queries [Q, C] whose nearest gallery vector [G, C] (cosine) has the query's label."""
    names = sorted({*query_labels, *gallery_labels})
    wanted, offered = (
        torch.tensor([names.index(label) for label in labels]) for labels in (query_labels, gallery_labels)
    )
    return recall_at_k(torch.from_numpy(queries), torch.from_numpy(gallery), wanted, offered, [1])[1]
