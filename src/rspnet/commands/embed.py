"""`rspnet embed`: turn videos into feature vectors on disk."""

from __future__ import annotations

from typing import Any

import numpy as np

from rspnet.config.embed import EmbedConfig
from rspnet.core.console import PlainConsole
from rspnet.core.distributed import rank
from rspnet.core.errors import RSPNetError
from rspnet.core.files import sha256_of
from rspnet.core.progress import track
from rspnet.core.urls import as_path
from rspnet.data.annotations import read_videos
from rspnet.data.skipped import SKIPPED, Skip, SkipLog
from rspnet.engine.launch import join_ranks
from rspnet.engine.runtime import pick_device
from rspnet.features.embedder import Embedder, VideoFeatures
from rspnet.pretext.opening import weights_file
from rspnet.runs.predictions import save_columns
from rspnet.runs.run_folder import open_run_folder, plain, write_result


def embed(config: EmbedConfig) -> None:
    """Embed every video; unreadable ones are named in skipped.csv and left out.

    Raises:
        RSPNetError: a missing file, a bad checkpoint, or not one readable video.
    """
    join_ranks(pick_device(config.device))
    for video in config.videos:
        if not as_path(video).exists():
            raise RSPNetError(f"video {video!r} does not exist")
    records = read_videos(config.videos)
    embedder = Embedder(
        config.model,
        num_clips=config.num_clips,
        num_frames=config.num_frames,
        stride=config.stride,
        size=config.size,
        batch_size=config.batch_size,
        device=config.device,
        precision=config.precision,
    )
    embedder.share_cores(config.num_workers)
    folder = open_run_folder(config.out, config, command="embed")
    log = SkipLog(folder / SKIPPED, num_videos=len(records))
    found: list[VideoFeatures] = []
    for result in track(embedder.stream(records), total=len(records), what="videos"):
        if isinstance(result, Skip):
            log.add([result])
        else:
            found.append(result)
    if rank() > 0:
        return
    if not found:
        first = log.first()
        raise RSPNetError(
            f"none of {len(records)} videos could be read: see {str(folder / SKIPPED)!r}; "
            f"the first was {first.name!r}: {first.reason}"
        )
    columns = _present(clip_columns(found) if config.level == "clip" else video_columns(found))
    path = folder / f"features.{config.format}"
    save_columns(path, columns)
    settings = {name: value for name, value in plain(config).items() if name not in ("videos", "out", "num_workers")}
    clip = {"num_frames": embedder.num_frames, "size": embedder.size, "precision": embedder.precision}
    write_result(
        folder,
        command="embed",
        protocol=settings | clip | {"weights_sha256": sha256_of(weights_file(config.model))},
        results={"videos": len(found), "skipped": len(log), "vectors": len(columns["name"]), "file": path.name},
    )
    PlainConsole(stderr=True).print(f"{len(found)} videos, {len(log)} skipped: {path}", highlight=False)


def video_columns(found: list[VideoFeatures]) -> dict[str, Any]:
    """One row per video: name, path, and the means over its clips (of the heads' unit vectors, normalised again)."""
    return {
        "name": np.array([item.record.name for item in found]),
        "path": np.array([str(item.record.path.absolute()) for item in found]),
        "features": np.stack([item.features.mean(axis=0) for item in found]),
        "appearance": np.stack([_mean_direction(item.appearance) for item in found]),
        "motion": np.stack([_mean_direction(item.motion) for item in found]),
    }


def clip_columns(found: list[VideoFeatures]) -> dict[str, Any]:
    """One row per clip: name, path, first and last frame, and the clip's vectors."""
    clips = [len(item.frames) for item in found]
    return {
        "name": np.repeat([item.record.name for item in found], clips),
        "path": np.repeat([str(item.record.path.absolute()) for item in found], clips),
        "first_frame": np.concatenate([item.frames[:, 0] for item in found]),
        "last_frame": np.concatenate([item.frames[:, -1] for item in found]),
        "features": np.concatenate([item.features for item in found]),
        "appearance": np.concatenate([item.appearance for item in found]),
        "motion": np.concatenate([item.motion for item in found]),
    }


def _present(columns: dict[str, Any]) -> dict[str, Any]:
    """Without the heads' columns where the network has no such heads."""
    return {name: column for name, column in columns.items() if column.shape[1:] != (0,)}


def _mean_direction(vectors: np.ndarray) -> np.ndarray:
    mean = vectors.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))
