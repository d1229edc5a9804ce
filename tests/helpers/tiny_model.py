"""A small checkpoint with seeded random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from helpers.narrow import NARROW

from rspnet.pretext.create import create_method


def save_tiny_checkpoint(path: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A checkpoint of `helpers.narrow` for clips of 4 frames x 32 pixels that `load_pretrained` reads."""
    return _save(path, seed, {"feature_dim": 16, "queue_size": 8, **changes})


def save_method_checkpoint(path: Path, method: str, *, seed: int = 0) -> Path:
    """The same of a baseline: pace, speednet, moco or order."""
    own = {"feature_dim": 16, "queue_size": 8} if method == "moco" else {"num_classes": 2}
    return _save(path, seed, {"method": method, **own, **({"num_clips": 2} if method == "order" else {})})


def _save(path: Path, seed: int, settings: dict[str, Any]) -> Path:
    torch.manual_seed(seed)
    model = create_method({"backbone": NARROW, "input": "difference", "num_frames": 4, "size": 32, **settings})
    content = {"format": "rspnet", "schema": 1, "model": model.state_dict(), "model_config": model.config}
    torch.save(content, path)
    return path
