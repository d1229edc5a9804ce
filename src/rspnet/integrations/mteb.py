"""MTEB: a network of ours in its video tasks (`pip install mteb datasets`).

Example:
    >>> import mteb
    >>> tasks = mteb.get_tasks(tasks=["UCF101VideoClassification", "HMDB51Classification"])
    >>> mteb.evaluate(MTEBEncoder("runs/first"), tasks)

NOTE: MTEB's tasks have their own splits and classifiers: the numbers are comparable to those of its board, not to the
paper's tables.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Video
from mteb.models import ModelMeta
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.features.embedder import Embedder
from rspnet.features.spaces import unit_rows
from rspnet.integrations.identity import revision_of, short_name


class MTEBEncoder:
    """Encodes the column `video` of a task by `Embedder.embed`, from the files' own bytes: frames are read by us.

    Args:
        model: a checkpoint, a run folder, an export, or a shipped name.
        **options: of `rspnet.Embedder`, as num_clips.

    Raises:
        CheckpointError: the weights cannot be read.
    """

    def __init__(self, model: str | os.PathLike[str] = "rspnet-small", **options: Any) -> None:
        self.embedder = Embedder(model, **options)
        known = {
            "name": f"rspnet/{short_name(model)}",
            "revision": revision_of(self.embedder),  # MTEB keeps results by name and revision
            "embed_dim": self.embedder.num_features,
            "modalities": ["video"],
        }
        self.mteb_model_meta = ModelMeta.create_empty(known)

    def encode(self, inputs: Any, **_: Any) -> NDArray[np.float32]:
        """Descriptors [N, D] of the N videos of a DataLoader's dataset.

        Raises:
            RSPNetError: the dataset has no videos.
            DecodeError: a video cannot be read.
        """
        if "video" not in getattr(inputs.dataset, "column_names", ()):
            raise RSPNetError("this network encodes videos: the task's data have no column 'video'")
        videos = inputs.dataset.select_columns(["video"]).cast_column("video", Video(decode=False))
        vectors = [self._of_file(row["video"]) for row in videos]
        return np.concatenate(vectors)

    def similarity(self, first: Any, second: Any) -> NDArray[np.float32]:
        """Cosine of every row [N, D] with every row [M, D]: [N, M]."""
        cosines: NDArray[np.float32] = unit_rows(np.asarray(first)) @ unit_rows(np.asarray(second)).T
        return cosines

    def similarity_pairwise(self, first: Any, second: Any) -> NDArray[np.float32]:
        """Cosine of each row [N, D] with the same row of the other: [N]."""
        cosines: NDArray[np.float32] = np.sum(unit_rows(np.asarray(first)) * unit_rows(np.asarray(second)), axis=1)
        return cosines

    def _of_file(self, video: dict[str, Any]) -> NDArray[np.float32]:
        if video["bytes"] is None:
            return self.embedder.embed([video["path"]])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / (Path(video["path"] or "video.mp4").name)
            file.write_bytes(video["bytes"])
            return self.embedder.embed([file])
