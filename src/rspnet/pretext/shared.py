"""Models as folders that people hand on: written as `rspnet export` does, read from disk or the Hugging Face hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import Tensor

from rspnet.core.errors import CheckpointError
from rspnet.data.presets import MEAN, STD
from rspnet.models.backbone import Backbone
from rspnet.models.exported import DESCRIPTION, WEIGHTS, FeatureNet, save_exported
from rspnet.pretext.base import PretextModel
from rspnet.pretext.methods import require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet

_LAYOUT = "clips [batch, 3, frames, height, width], RGB 0..1"


def describe(backbone: Backbone, *, num_frames: int, size: int) -> dict[str, Any]:
    """What every description of an export says: the network and the clips it takes."""
    network = {"backbone": backbone.name, "input": backbone.input, "clip_shape": [3, num_frames, size, size]}
    return network | {"mean": MEAN, "std": STD, "layout": _LAYOUT}


def as_exported(model: PretextModel) -> tuple[FeatureNet, dict[str, Any]]:
    """The part of a model that exports hold (backbone, and heads where there are any), and its description."""
    config = model.config
    common = describe(model.backbone, num_frames=config["num_frames"], size=config["size"])
    common["stride"] = config.get("stride", 1)
    if not isinstance(model, RSPNet):
        return FeatureNet(model.backbone), {"kind": "backbone"} | common
    heads = {"kind": "encoder", "head": config["head"], "feature_dim": config["feature_dim"]}
    return FeatureNet(model.backbone, model.encoder_q), heads | common


def save_shared(model: PretextModel, folder: str | os.PathLike[str]) -> None:
    """Write a model's trained network to a folder; see `RSPNet.save_pretrained`."""
    network, description = as_exported(model)
    save_exported(network, folder, description)


def half_precision_encoder(model: RSPNet) -> dict[str, Tensor]:
    """State of the query encoder with its parameters at half precision; statistics and counters as they are."""
    halved = {name: value.detach().half() for name, value in model.encoder_q.named_parameters()}
    return {**model.encoder_q.state_dict(), **halved}


def open_shared(name: str | os.PathLike[str], *, revision: str | None = None) -> RSPNet:
    """The model of a file, folder or hub repository; see `RSPNet.from_pretrained`."""
    place = name if Path(name).exists() else _download(os.fspath(name), revision)
    return require_heads(load_pretrained(place), task="RSPNet.from_pretrained")


def _download(repository: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{repository!r} is no file or folder here; if it is a repository of the Hugging Face hub: "
            "pip install huggingface_hub"
        ) from error
    try:
        files = [WEIGHTS, DESCRIPTION]
        return Path(snapshot_download(repository, revision=revision, allow_patterns=files))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{repository!r} is no file or folder here, and the hub gives none: {reason}") from error
