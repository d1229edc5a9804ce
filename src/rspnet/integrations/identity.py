"""What tells a network and its settings from others: other programs keep vectors and scores by it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from rspnet.features.embedder import Embedder
from rspnet.features.labelled_features import embedder_view, tensors_sha256

_DIGITS = 16


def short_name(model: str | os.PathLike[str]) -> str:
    """The last two parts of a path of weights, without a slash: pre-last.ckpt."""
    return "-".join(part for part in Path(model).parts[-2:] if part.strip("/\\."))


def revision_of(embedder: Embedder) -> str:
    """A short hash of the weights and of every setting that a vector depends on."""
    settings = json.dumps(embedder_view(embedder), sort_keys=True, default=str)
    content = f"{tensors_sha256(embedder.model.backbone)} {settings}"
    return hashlib.sha256(content.encode()).hexdigest()[:_DIGITS]
