"""Opening any weights as a model: our own checkpoints, exports, the paper's published files, those of others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rspnet.core.checkpoint_format import CLASSIFIER_TASK, FORMAT
from rspnet.core.weights_files import DESCRIPTION, PROGRAM, WEIGHTS, outside_place, weights_file
from rspnet.models.classifier import Classifier, restore_classifier
from rspnet.models.exported import FeatureNet
from rspnet.models.foreign import find_backbone
from rspnet.models.weights import LoadReport, published_size, read_weights_file
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.create import create_method
from rspnet.pretext.opening import (
    heads_of_export,
    heads_of_published,
    is_published_pretraining,
    model_config,
    open_export,
    restored,
)
from rspnet.pretext.program import open_program
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.transformer import open_transformer


def load_pretrained(path: str | os.PathLike[str]) -> PretextModel:
    """The model of a weights file, on the CPU, in eval mode: an `RSPNet`, a baseline's model, or a `BareBackbone`.

    `"rspnet-small"` names the weights that come with the package (docs/rspnet-small.md). Any other name is a file of
    weights: our checkpoints, folders that `rspnet export` wrote as safetensors, the paper's published pre-training
    files (`model_best_<arch>_<n>epoch.pth.tar`); and as a bare backbone: fine-tuned files (ours and the paper's), state
    dicts of torchvision and of other programs (see `rspnet.models.foreign`). `torch:FILE.pt2` is an encoder that any
    program exported, `hf:FOLDER` a video or image model of transformers. Code in a file is never executed.

    Raises:
        CheckpointError: the file is missing, damaged, asks to run code, or fits none of our networks to 95 %.
    """
    return load_pretrained_with_report(path)[0]


def load_pretrained_with_report(path: str | os.PathLike[str]) -> tuple[PretextModel, LoadReport]:
    """`load_pretrained`, and what happened to every key of the file."""
    with torch.random.fork_rng(devices=()):  # initial weights that are overwritten are no draws of the caller's
        return _loaded(path)


def _loaded(path: str | os.PathLike[str]) -> tuple[PretextModel, LoadReport]:
    if (outside := outside_place(path)) is not None:
        prefix, place = outside
        bare = open_program(place) if prefix == PROGRAM else open_transformer(place)
        return bare.eval(), LoadReport(used=tuple(bare.state_dict()))
    file = weights_file(path)
    if file.name == WEIGHTS and file.with_name(DESCRIPTION).exists():
        return from_export(file.parent)
    content = read_weights_file(file)
    source = f"checkpoint {str(path)!r}"
    model: PretextModel
    if content.get("format") == FORMAT:
        model, report = _from_own(content, source)
    elif is_published_pretraining(content):
        model, report = from_published(content["arch"], content["model"], source=source)
    else:
        backbone, report = find_backbone(content, source=source)
        model = BareBackbone(backbone, size=published_size(backbone.name))
    return model.eval(), report


def config_of_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """`load_pretrained(path).config`; our own checkpoints of a pre-training say it without a network being made.

    Raises:
        CheckpointError: as `load_pretrained`, but damage to the weights themselves may go unseen.
    """
    if outside_place(path) is None and (file := weights_file(path)).name != WEIGHTS:
        content = read_weights_file(file)
        config = model_config(content)
        if content.get("format") == FORMAT and content.get("task") != CLASSIFIER_TASK and config is not None:
            return config
    return load_pretrained(path).config


def from_export(folder: Path) -> tuple[PretextModel, LoadReport]:
    """A model in eval mode with the exported query encoder in both encoders (exports hold no key queue).

    An export without the two heads, or of a classifier, gives its backbone.

    Raises:
        CheckpointError: a damaged export, or safetensors is missing.
    """
    network, description = open_export(folder)
    found = heads_of_export(RSPNet, network, description, source=f"exported model {str(folder)!r}")
    if found is not None:
        return found[0].eval(), found[1]
    _, num_frames, size, _ = description["clip_shape"]
    bare = BareBackbone(network.backbone, num_frames=num_frames, size=size, stride=description.get("stride", 1))
    bare.fps = description.get("fps")
    return bare.eval(), _backbone_report(network)


def from_published(arch: str, state: dict[str, Tensor], *, source: str) -> tuple[RSPNet, LoadReport]:
    """An RSPNet of a published pre-training file; see `heads_of_published`."""
    return heads_of_published(RSPNet, arch, state, source=source)


def _from_own(content: dict[Any, Any], source: str) -> tuple[PretextModel, LoadReport]:
    """A model from our own checkpoint's dictionary."""
    if content.get("task") != CLASSIFIER_TASK:
        return restored(create_method, content, source=source)
    classifier = restore_classifier(content["model_config"], content["model"], source=source)
    clips = content["config"]["clips"]
    bare = BareBackbone(classifier.backbone, num_frames=clips["num_frames"], size=clips["size"], stride=clips["stride"])
    bare.fps = clips.get("fps")
    return bare, _backbone_report(classifier)


def _backbone_report(network: Classifier | FeatureNet) -> LoadReport:
    """That the backbone's weights were used and a classifier's were not."""
    keys = list(network.state_dict())
    used = tuple(key for key in keys if not key.startswith("linear."))
    return LoadReport(used=used, skipped={key: "the classifier behind the backbone" for key in keys if key not in used})
