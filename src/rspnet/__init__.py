"""RSPNet: video representations without labels, by relative speed perception (Chen et al., AAAI 2021).

The public names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rspnet.api.train import TrainingResult, finetune, pretrain
    from rspnet.core.errors import CheckpointError, ConfigError, DecodeError, RSPNetError, TooManySkippedError
    from rspnet.data.clip_tasks import ClipPlan, ClipTask, SpeedPairs
    from rspnet.features.embedder import Embedder
    from rspnet.features.read import read_features
    from rspnet.models.backbone import Backbone
    from rspnet.models.registry import create_backbone, register_backbone
    from rspnet.pretext.base import PretextModel
    from rspnet.pretext.classification_method import ClassificationMethod
    from rspnet.pretext.method import PretextMethod
    from rspnet.pretext.methods import register_method
    from rspnet.pretext.pretrained import load_pretrained
    from rspnet.pretext.rspnet import RSPNet
    from rspnet.pretext.rspnet_method import RSPNetMethod
    from rspnet.search.library import Library
    from rspnet.search.query import ClipOf
    from rspnet.video.reader import open_video

    __version__: str

__all__ = [
    "Backbone",
    "CheckpointError",
    "ClassificationMethod",
    "ClipOf",
    "ClipPlan",
    "ClipTask",
    "ConfigError",
    "DecodeError",
    "Embedder",
    "Library",
    "PretextMethod",
    "PretextModel",
    "RSPNet",
    "RSPNetError",
    "RSPNetMethod",
    "SpeedPairs",
    "TooManySkippedError",
    "TrainingResult",
    "create_backbone",
    "finetune",
    "load_pretrained",
    "open_video",
    "pretrain",
    "read_features",
    "register_backbone",
    "register_method",
]

_HOMES = {
    "Backbone": "rspnet.models.backbone",
    "CheckpointError": "rspnet.core.errors",
    "ClassificationMethod": "rspnet.pretext.classification_method",
    "ClipOf": "rspnet.search.query",
    "ClipPlan": "rspnet.data.clip_tasks",
    "ClipTask": "rspnet.data.clip_tasks",
    "ConfigError": "rspnet.core.errors",
    "DecodeError": "rspnet.core.errors",
    "Embedder": "rspnet.features.embedder",
    "Library": "rspnet.search.library",
    "PretextMethod": "rspnet.pretext.method",
    "PretextModel": "rspnet.pretext.base",
    "RSPNet": "rspnet.pretext.rspnet",
    "RSPNetError": "rspnet.core.errors",
    "RSPNetMethod": "rspnet.pretext.rspnet_method",
    "SpeedPairs": "rspnet.data.clip_tasks",
    "TooManySkippedError": "rspnet.core.errors",
    "TrainingResult": "rspnet.api.train",
    "create_backbone": "rspnet.models.registry",
    "finetune": "rspnet.api.train",
    "load_pretrained": "rspnet.pretext.pretrained",
    "open_video": "rspnet.video.reader",
    "pretrain": "rspnet.api.train",
    "read_features": "rspnet.features.read",
    "register_backbone": "rspnet.models.registry",
    "register_method": "rspnet.pretext.methods",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rspnet")
    if name not in _HOMES:
        raise AttributeError(f"module 'rspnet' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
