"""Features of labelled videos, from the cache where it has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from rspnet.core.errors import RSPNetError
from rspnet.core.progress import track
from rspnet.data.annotations import VideoRecord
from rspnet.data.skipped import Skip, SkipLog
from rspnet.tasks.embedder import Embedder
from rspnet.tasks.feature_cache import FeatureCache


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers (names, shapes and bytes), whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def embedder_view(embedder: Embedder) -> dict[str, Any]:
    """Everything but weights and file that a feature depends on, for a stamp and as part of the cache's key."""
    model = embedder.model
    return {
        "backbone": model.backbone.name,
        "input": model.backbone.input,
        "num_frames": embedder.num_frames,
        "stride": embedder.stride,
        "fps": None,
        "size": embedder.size,
        "num_clips": embedder.num_clips,
        "num_crops": 1,
        "pooling": embedder.pooling,
        "precision": embedder.precision,
    }


def video_features(
    embedder: Embedder, records: Sequence[VideoRecord], *, cache_folder: Path, weights: str, log: SkipLog, what: str
) -> tuple[list[VideoRecord], NDArray[np.float32]]:
    """The readable records and their mean clip features float32 [N, C]; unreadable ones are noted in `log`.

    Raises:
        RSPNetError: not one is readable.
    """
    cache = FeatureCache(cache_folder, weights_sha256=weights, view=embedder_view(embedder))
    known: dict[Path, NDArray[np.float32]] = {}
    for record in records:
        vector = cache.get(record.path)
        if vector is not None:
            known[record.path] = vector
    missing = [record for record in records if record.path not in known]
    if missing:
        for result in track(embedder.stream(missing), total=len(missing), what=what):
            if isinstance(result, Skip):
                log.add([result])
                continue
            known[result.record.path] = result.features.mean(axis=0)
            cache.put(result.record.path, known[result.record.path])
    kept = [record for record in records if record.path in known]
    if not kept:
        raise RSPNetError(f"none of {len(records)} {what} could be read: see {str(log.path)!r}")
    return kept, np.stack([known[record.path] for record in kept])
