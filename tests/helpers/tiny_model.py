"""A small checkpoint with seeded random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rspnet.pretext.rspnet import RSPNet


def save_tiny_checkpoint(path: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A checkpoint of r3d_10_slim for clips of 4 frames x 32 pixels that `load_pretrained` reads."""
    torch.manual_seed(seed)
    settings = {"input": "difference", "feature_dim": 16, "queue_size": 8, "num_frames": 4, "size": 32, **changes}
    model = RSPNet("r3d_10_slim", **settings)
    content = {"format": "rspnet", "schema": 1, "model": model.state_dict(), "model_config": model.config}
    torch.save(content, path)
    return path
