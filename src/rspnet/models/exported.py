"""Networks as other programs use them: clips to named outputs, with weights as safetensors + JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.files import atomic_path, write_json
from rspnet.core.plugins import require_plugins
from rspnet.core.weights_files import DESCRIPTION, WEIGHTS
from rspnet.models.backbone import Backbone
from rspnet.models.classifier import Classifier
from rspnet.models.heads import Encoder, create_encoder
from rspnet.models.registry import create_backbone
from rspnet.models.weights import load_strictly

PREFIX = "rspnet."
"""Of the weights' names in an export for Hugging Face: the attribute that holds the network in `modeling_rspnet.py`."""


class FeatureNet(nn.Module):
    """Clips to pooled features, and with heads to their unit vectors.

    Args:
        backbone: the network.
        encoder: the backbone with its heads, None for features only.
    """

    def __init__(self, backbone: Backbone, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.network: Encoder | Backbone = backbone if encoder is None else encoder

    @property
    def backbone(self) -> Backbone:
        """The network without heads."""
        return self.network.backbone if isinstance(self.network, Encoder) else self.network

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Normalised clips [B, 3, T, H, W] to features [B, C] and, with heads, appearance and motion [B, D]."""
        if isinstance(self.network, Encoder):
            maps = self.network.backbone.forward_features(clips)
            return (maps.mean(dim=(2, 3, 4)), *self.network.embed_features(maps))
        return (self.network.forward_features(clips).mean(dim=(2, 3, 4)),)


Network = Classifier | FeatureNet


def output_names(network: Network) -> list[str]:
    """What the outputs are, in order."""
    if isinstance(network, Classifier):
        return ["logits"]
    return ["features", "appearance", "motion"] if isinstance(network.network, Encoder) else ["features"]


def build_network(description: dict[str, Any]) -> Network:
    """The network a description names, with fresh weights, in eval mode.

    Args:
        description: `kind` ("classifier", "encoder" or "backbone"), `backbone`, `input`; `num_classes` of a
            classifier; `head` and `feature_dim` of an encoder.
    """
    require_plugins(description.get("plugins", ()))
    backbone = create_backbone(description["backbone"], input=description["input"])
    if description["kind"] == "classifier":
        return Classifier(backbone, num_classes=description["num_classes"], dropout=0.0).eval()
    if description["kind"] == "backbone":
        return FeatureNet(backbone).eval()
    encoder = create_encoder(backbone, head=description["head"], dim=description["feature_dim"])
    return FeatureNet(backbone, encoder).eval()


def write_description(network: Network, folder: Path, description: dict[str, Any], *, format: str) -> None:  # noqa: A002
    """Write `model.json`: what `build_network` needs, the file's format, and the names of the outputs."""
    write_json(folder / DESCRIPTION, description | {"format": format, "outputs": output_names(network)})


def save_exported(network: Network, folder: str | os.PathLike[str], description: dict[str, Any]) -> Path:
    """Write `model.safetensors` and `model.json`, which `load_exported` reads; returns the former's path.

    Raises:
        ConfigError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save
    except ModuleNotFoundError as error:
        raise ConfigError("writing safetensors needs the extra: pip install 'rspnet[export]'") from error
    path = Path(folder) / WEIGHTS
    write_description(network, Path(folder), description, format="safetensors")
    with atomic_path(path) as temporary:
        # Not by `save_file`, whose files nobody else may read.
        temporary.write_bytes(save({name: value.contiguous() for name, value in network.state_dict().items()}))
    return path


def load_exported(folder: str | os.PathLike[str]) -> tuple[Network, dict[str, Any]]:
    """The network of `model.safetensors` and `model.json`, on the CPU in eval mode, and its description.

    Raises:
        CheckpointError: a file is missing or damaged, or the two do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = Path(folder)
    try:
        description = json.loads((place / DESCRIPTION).read_text(encoding="utf-8"))
        _check_description(description)
        state = {name.removeprefix(PREFIX): value for name, value in load_file(place / WEIGHTS).items()}
        network = build_network(description)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"cannot open the exported model in {str(place)!r}: {first}") from error
    load_strictly(network, state, source=f"exported model {str(place)!r}")
    # Earlier exports of classifiers have stride and rate among the options of their training alone.
    clips = description.get("training", {}).get("config", {}).get("clips", {})
    return network, {name: clips[name] for name in ("stride", "fps") if clips.get(name)} | description


def _check_description(description: Any) -> None:
    """Raise a ValueError where `model.json` is not what `write_description` writes."""
    kinds = ("classifier", "encoder", "backbone")
    if not isinstance(description, dict) or description.get("kind") not in kinds:
        raise ValueError(f"{DESCRIPTION} must be a table whose kind is one of {', '.join(kinds)}")
    shape = description.get("clip_shape")
    if not isinstance(shape, list) or len(shape) != 4 or not all(type(side) is int and side > 0 for side in shape):
        raise ValueError(f"{DESCRIPTION}: clip_shape is {shape}, not channels, frames, height and width")


def largest_difference(expected: tuple[Tensor, ...] | Tensor, found: tuple[Tensor, ...] | Tensor) -> float:
    """The largest difference between two models' outputs; infinite where one is not finite.

    An output whose values go beyond 1 is measured as a share of its largest: rounding grows with the values.
    """
    first, second = ((part,) if isinstance(part, Tensor) else tuple(part) for part in (expected, found))
    gaps = [float((a - b).abs().max() / a.abs().max().clamp_min(1)) for a, b in zip(first, second, strict=True)]
    return max(gap if gap == gap else torch.inf for gap in gaps)
