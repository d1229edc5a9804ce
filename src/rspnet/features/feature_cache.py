"""Feature vectors kept between runs, found again by what they were made from: weights, view, and the file's bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.files import atomic_path, write_json
from rspnet.core.urls import content_of


def default_cache_folder() -> Path:
    """`rspnet/features` in the user's cache folder (XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rspnet" / "features"


class FeatureCache:
    """One float32 vector per video, for one network and one view of the videos.

    A vector is found by the SHA-256 of the video: one that was moved or copied is a hit, one that was changed a miss.

    Args:
        folder: holds a subfolder for every (weights, view); may be shared by runs and processes.
        weights_sha256: of the checkpoint file.
        view: everything else that changes a vector, as plain values.
    """

    def __init__(self, folder: Path, *, weights_sha256: str, view: Mapping[str, Any]) -> None:
        made_from = {"weights_sha256": weights_sha256, **view}
        self.folder = folder / _digest(json.dumps(made_from, sort_keys=True))
        if not (self.folder / "view.json").exists():
            write_json(self.folder / "view.json", made_from)

    def get(self, video: Path) -> NDArray[np.float32] | None:
        """The vector of a video file, or None where there is none (or a damaged one, or one that is not finite)."""
        try:
            vector = np.load(self._place(video), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if not isinstance(vector, np.ndarray) or vector.dtype != np.float32 or vector.ndim != 1:
            return None
        return vector if np.isfinite(vector).all() else None

    def put(self, video: Path, vector: NDArray[np.float32]) -> None:
        """Keep a video's vector.

        Raises:
            RSPNetError: the cache cannot be written.
        """
        with atomic_path(self._place(video)) as temporary, temporary.open("wb") as file:
            np.save(file, np.asarray(vector, np.float32), allow_pickle=False)

    def _place(self, video: Path) -> Path:
        """Raises OSError where the video is missing."""
        status = video.stat()
        name = _content(video, status.st_size, status.st_mtime_ns)
        return self.folder / name[:2] / f"{name}.npy"


@cache
def _content(video: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - a file that was changed is read again
    return content_of(video)[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
