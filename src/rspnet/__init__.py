"""RSPNet: video representations without labels, by relative speed perception (Chen et al., AAAI 2021).

The public names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rspnet.core.errors import CheckpointError, ConfigError, DecodeError, RSPNetError, TooManySkippedError
    from rspnet.features.embedder import Embedder
    from rspnet.models.registry import create_backbone
    from rspnet.pretext.pretrained import load_pretrained
    from rspnet.pretext.rspnet import RSPNet
    from rspnet.video.reader import open_video

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DecodeError",
    "Embedder",
    "RSPNet",
    "RSPNetError",
    "TooManySkippedError",
    "create_backbone",
    "load_pretrained",
    "open_video",
]

_HOMES = {
    "CheckpointError": "rspnet.core.errors",
    "ConfigError": "rspnet.core.errors",
    "DecodeError": "rspnet.core.errors",
    "Embedder": "rspnet.features.embedder",
    "RSPNet": "rspnet.pretext.rspnet",
    "RSPNetError": "rspnet.core.errors",
    "TooManySkippedError": "rspnet.core.errors",
    "create_backbone": "rspnet.models.registry",
    "load_pretrained": "rspnet.pretext.pretrained",
    "open_video": "rspnet.video.reader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rspnet' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
