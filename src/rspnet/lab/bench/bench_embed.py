"""Videos per second of the shared feature path against the plain route; see docs/benchmarks.md."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.rng import derive_seed
from rspnet.data.augment import centre_square
from rspnet.features.embedder import Embedder
from rspnet.lab.bench.bench_data import SCENE_FILES, encode_scene
from rspnet.lab.bench.plain import use_stock_convolutions
from rspnet.lab.bench.plain_data import decode_window, plain_clip
from rspnet.models.backbone import Backbone
from rspnet.pretext.rspnet import RSPNet
from rspnet.video.clips import even_clips
from rspnet.video.reader import open_video

NO_JITTER = (1.0, 1.0, 1.0, 0.0)
NUM_CLIPS, NUM_FRAMES, SIZE = 10, 16, 112
Vectors = NDArray[np.float32]


def bench_embed(*, backbone: str, paths: list[Path] | None, threads: int = 1) -> dict[str, Any]:
    """Features of every video both ways, video by video in turn, by CPU time with one thread and by the clock else.

    Plain: each of the 10 clips sought and decoded by itself at full size, float crop and resize, float32, contiguous,
    batch norms apart. Ours: one decode pass, batch norms folded, bf16 where the processor has it. The weights are
    random, the same for both.

    Args:
        backbone: name of the network.
        paths: the videos; None encodes four kinds of file.
        threads: of torch.

    Returns:
        {"rows": one for each video, ...} and totals; where videos lie in two or more folders, recall@1 by folder.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        if paths is not None:
            return _compare(paths, backbone, threads)
        with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as folder:
            return _compare([encode_scene(kind, Path(folder)) for kind in SCENE_FILES], backbone, threads)
    finally:
        torch.set_num_threads(threads_before)


def _compare(paths: Sequence[Path], backbone: str, threads: int) -> dict[str, Any]:
    if len(paths) < 2:
        raise RSPNetError("the embed bench compares nearest neighbours: give it at least 2 videos")
    torch.manual_seed(derive_seed("bench embed"))
    model = RSPNet(backbone, queue_size=1, num_frames=NUM_FRAMES, size=SIZE)
    plain = plain_backbone(model.backbone)
    embedder = Embedder(model, num_clips=NUM_CLIPS, descriptor="mean")  # as the plain route does
    clock = time.process_time if threads == 1 else time.perf_counter
    rows, vectors = [], []
    for path in (paths[0], *paths):  # the first one warms up
        started = clock()
        first = plain_features(plain, path)
        between = clock()
        second = embedder.embed([path])[0]
        ours_s, plain_s = clock() - between, between - started
        cosine = float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
        rows.append({"name": path.name, "plain_s": plain_s, "ours_s": ours_s, "ratio": plain_s / ours_s, "cos": cosine})
        vectors.append((first, second))
    both = [np.stack(kind) for kind in zip(*vectors[1:], strict=True)]
    return {"rows": rows[1:], **_totals(rows[1:]), "precision": embedder.precision, **_retrieval(paths, *both)}


def _totals(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    plain, ours = (len(rows) / sum(row[name] for row in rows) for name in ("plain_s", "ours_s"))
    return {"plain_videos_per_s": plain, "ours_videos_per_s": ours, "speedup": ours / plain}


def _retrieval(paths: Sequence[Path], plain: Vectors, ours: Vectors) -> dict[str, float]:
    """Share of videos with the same nearest neighbour, and recall@1 of each route where folders name classes."""
    nearest = [_nearest(vectors) for vectors in (plain, ours)]
    result = {"same_nearest_neighbour": float(np.mean(nearest[0] == nearest[1]))}
    folders = np.array([str(path.parent) for path in paths])
    if len(set(folders)) > 1:
        for name, found in zip(("plain", "ours"), nearest, strict=True):
            result[f"{name}_recall_at_1"] = float(np.mean(folders[found] == folders))
    return result


def _nearest(vectors: Vectors) -> NDArray[np.int64]:
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    return np.asarray(likeness.argmax(axis=1), np.int64)


def plain_backbone(backbone: Backbone) -> Backbone:
    """A copy with stock convolutions in the default memory format, in eval mode."""
    plain: Backbone = copy.deepcopy(backbone).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    use_stock_convolutions(plain)
    return plain.eval()


@torch.no_grad()
def plain_features(backbone: Backbone, path: Path) -> Vectors:
    """Mean of the average-pooled features of 10 clips, float32 [C]."""
    with open_video(path) as video:
        length, box = len(video), centre_square(video.height, video.width)
    starts = even_clips(length, num_frames=NUM_FRAMES, stride_frames=1, num_clips=NUM_CLIPS)[:, 0]
    clips = [
        plain_clip(decode_window(path, int(start), NUM_FRAMES), box=box, size=SIZE, flip=False, factors=NO_JITTER)
        for start in starts
    ]
    features: Vectors = backbone(torch.stack(clips)).mean(dim=(2, 3, 4)).mean(dim=0).numpy()
    return features
