"""LightlyStudio: its videos embedded by a network of ours (`pip install lightly-studio`).

Example:
    >>> import lightly_studio
    >>> lightly_studio.register_default_embedder(RSPNetEmbedder("rspnet-small"))
"""

from __future__ import annotations

import os
from typing import Any

from lightly_studio_serve.embedder import VideoPathEmbedder
from lightly_studio_serve.types import EmbeddingResult, EmbeddingSpaceSpec

from rspnet.features.embedder import Embedder
from rspnet.integrations.identity import revision_of, short_name


class RSPNetEmbedder(VideoPathEmbedder):
    """Gives LightlyStudio the descriptors that `Embedder.embed` gives; videos that cannot be read are left out.

    Register it before the dataset is made, see the top of this file.

    Args:
        model: a checkpoint, a run folder, an export, or a shipped name.
        **options: of `rspnet.Embedder`, as num_clips.

    Raises:
        CheckpointError: the weights cannot be read.
    """

    def __init__(self, model: str | os.PathLike[str] = "rspnet-small", **options: Any) -> None:
        self._embedder = Embedder(model, **options)
        self._name = f"rspnet:{short_name(model)}:{revision_of(self._embedder)}"

    def embedding_space_spec(self) -> EmbeddingSpaceSpec:
        """Name and length of the vectors; other weights or settings have another name."""
        return EmbeddingSpaceSpec(space_key=self._name, dimension=self._embedder.num_features)

    def embed_videos(self, paths: list[str]) -> EmbeddingResult:
        """Vectors [n, D] of the videos that could be read, and which of `paths` those are."""
        found = self._embedder.embed(paths, on_error="skip")
        missing = {skip.name for skip in found.skipped}
        kept = [place for place, path in enumerate(paths) if path not in missing]
        return EmbeddingResult(embeddings=found.features, kept_indices=kept)
