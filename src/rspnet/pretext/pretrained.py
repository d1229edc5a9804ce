"""Opening any weights as a model: our own checkpoints, exports, the paper's published files, those of others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rspnet.core.checkpoint_format import CLASSIFIER_TASK, ENCODER_TASK, FORMAT
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.models.classifier import Classifier, restore_classifier
from rspnet.models.exported import DESCRIPTION, WEIGHTS, FeatureNet, load_exported
from rspnet.models.foreign import find_backbone
from rspnet.models.heads import Encoder
from rspnet.models.weights import (
    PUBLISHED_BACKBONES,
    LoadReport,
    convert_published,
    load_strictly,
    published_size,
    read_weights_file,
)
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.methods import create_method
from rspnet.pretext.rspnet import RSPNet
from rspnet.weights import shipped_file


def load_pretrained(path: str | os.PathLike[str]) -> PretextModel:
    """The model of a weights file, on the CPU, in eval mode: an `RSPNet`, a baseline's model, or a `BareBackbone`.

    `"rspnet-small"` names the weights that come with the package (docs/rspnet-small.md). Any other name is a file of
    weights: our checkpoints, folders that `rspnet export` wrote as safetensors, the paper's published pre-training
    files (`model_best_<arch>_<n>epoch.pth.tar`); and as a bare backbone: fine-tuned files (ours and the paper's), state
    dicts of torchvision and of other programs (see `rspnet.models.foreign`). Code in a file is never executed.

    Raises:
        CheckpointError: the file is missing, damaged, asks to run code, or fits none of our networks to 95 %.
    """
    return load_pretrained_with_report(path)[0]


def load_pretrained_with_report(path: str | os.PathLike[str]) -> tuple[PretextModel, LoadReport]:
    """`load_pretrained`, and what became of every key of the file."""
    file = weights_file(path)
    if file.name == WEIGHTS and file.with_name(DESCRIPTION).exists():
        return from_export(file.parent)
    content = read_weights_file(file)
    source = f"checkpoint {str(path)!r}"
    model: PretextModel
    if content.get("format") == FORMAT:
        model, report = _from_own(content, source)
    elif _is_published_pretraining(content):
        model, report = from_published(content["arch"], content["model"], source=source)
    else:
        backbone, report = find_backbone(content, source=source)
        model = BareBackbone(backbone, size=published_size(backbone.name))
    return model.eval(), report


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The file with the weights.

    The path itself, `model.safetensors` of a folder that `rspnet export` wrote, or, where there is neither file nor
    folder, the weights of that name that come with the package.
    """
    inside = Path(path) / WEIGHTS
    if inside.with_name(DESCRIPTION).is_file():
        return inside
    own = None if Path(path).exists() else shipped_file(os.fspath(path))
    return Path(path) if own is None else own


def _is_published_pretraining(content: Mapping[str, Any]) -> bool:
    """Whether a dictionary is a pre-training file of the paper's code (fine-tuned ones have no queue)."""
    model = content.get("model")
    return isinstance(content.get("arch"), str) and isinstance(model, dict) and "queue" in model


def from_export(folder: Path) -> tuple[PretextModel, LoadReport]:
    """A model in eval mode with the exported query encoder in both encoders (exports hold no key queue).

    An export without the two heads, or of a classifier, gives its backbone.

    Raises:
        CheckpointError: a damaged export, or safetensors is missing.
    """
    try:
        network, description = load_exported(folder)
    except ModuleNotFoundError as error:
        raise CheckpointError(f"reading {str(folder)!r} needs the extra: pip install 'rspnet[export]'") from error
    _, num_frames, size, _ = description["clip_shape"]
    if not isinstance(network, FeatureNet) or not isinstance(network.network, Encoder):
        bare = BareBackbone(network.backbone, num_frames=num_frames, size=size)
        return bare.eval(), _backbone_report(network)
    settings = {name: description[name] for name in ("input", "head", "feature_dim")}
    settings |= {"num_frames": num_frames, "size": size, "stride": description.get("stride", 1)}
    model = RSPNet(description["backbone"], **settings, queue_size=1)
    return model.eval(), _fill_encoders(model, network.network.state_dict(), source=f"exported model {str(folder)!r}")


def from_published(arch: str, state: dict[str, Tensor], *, source: str) -> tuple[RSPNet, LoadReport]:
    """A model with the weights of a published pre-training file's `arch` and `model` entries, in train mode.

    The model takes the file's number format (float32 in the published files, float64 in exact tests).

    Raises:
        CheckpointError: unknown arch, or keys and shapes other than the published ones.
    """
    if arch not in PUBLISHED_BACKBONES:
        raise CheckpointError(f"{source} has the unknown arch {arch!r}; known: {', '.join(PUBLISHED_BACKBONES)}")
    if not isinstance(queue := state["queue"], Tensor) or queue.dim() != 2:
        raise CheckpointError(f"{source} does not fit: no key queue [128, K] under 'queue'")
    renamed, report = convert_published(arch, state)
    model = RSPNet(
        PUBLISHED_BACKBONES[arch],
        queue_size=queue.shape[1],
        feature_dim=queue.shape[0],
        size=published_size(PUBLISHED_BACKBONES[arch]),
    ).to(queue.dtype)
    load_strictly(model, renamed, source=source)
    return model, report


def _from_own(content: dict[Any, Any], source: str) -> tuple[PretextModel, LoadReport]:
    """A model from our own checkpoint's dictionary."""
    config, state = content.get("model_config"), content.get("model")
    if not isinstance(config, dict) or not isinstance(state, dict):
        raise CheckpointError(f"{source} is damaged: no 'model' or no 'model_config' in it")
    if content.get("task") == CLASSIFIER_TASK:
        classifier = restore_classifier(config, state, source=source)
        clips = content["config"]["clips"]
        bare = BareBackbone(classifier.backbone, num_frames=clips["num_frames"], size=clips["size"])
        return bare, _backbone_report(classifier)
    try:
        model = create_method(config)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{source} has a model_config that does not fit: {error}") from error
    if content.get("task") == ENCODER_TASK and isinstance(model, RSPNet):
        return model, _fill_encoders(model, state, source=source)
    load_strictly(model, state, source=source)
    return model, LoadReport(used=tuple(state))


def _fill_encoders(model: RSPNet, state: dict[str, Tensor], *, source: str) -> LoadReport:
    """Take a query encoder's weights for both encoders; what was trained at the file's number format is converted."""
    for encoder in (model.encoder_q, model.encoder_k):
        load_strictly(encoder, state, source=source)
    return LoadReport(used=tuple(state))


def _backbone_report(network: Classifier | FeatureNet) -> LoadReport:
    """That the backbone's weights were used and a classifier's were not."""
    keys = list(network.state_dict())
    used = tuple(key for key in keys if not key.startswith("linear."))
    return LoadReport(used=used, skipped={key: "the classifier behind the backbone" for key in keys if key not in used})
