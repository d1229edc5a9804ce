"""Opening a pre-trained model: our own checkpoints (of any method) and the paper's published ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import Tensor

from rspnet.core.checkpoint_format import FORMAT
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.models.exported import DESCRIPTION, WEIGHTS, FeatureNet, load_exported
from rspnet.models.heads import Encoder
from rspnet.models.weights import PUBLISHED_BACKBONES, LoadReport, convert_published, load_strictly, read_weights_file
from rspnet.pretext.base import PretextModel
from rspnet.pretext.methods import create_method
from rspnet.pretext.rspnet import RSPNet


def load_pretrained(path: str | os.PathLike[str]) -> PretextModel:
    """The pre-trained model of a checkpoint file, on the CPU, in eval mode: an `RSPNet`, or a baseline's model.

    Reads our checkpoints, folders that `rspnet export` wrote as safetensors, and the paper's published pre-training
    files (`model_best_<arch>_<n>epoch.pth.tar`). Code in a file is never executed.

    Raises:
        CheckpointError: the file is missing, damaged, asks to run code, is foreign or does not fit.
    """
    return load_pretrained_with_report(path)[0]


def load_pretrained_with_report(path: str | os.PathLike[str]) -> tuple[PretextModel, LoadReport]:
    """`load_pretrained`, and what became of every key of the file."""
    exported = Path(path).parent if Path(path).name == WEIGHTS else Path(path)
    if (exported / DESCRIPTION).exists():
        return from_export(exported)
    content = read_weights_file(path)
    source = f"checkpoint {str(path)!r}"
    model: PretextModel
    if content.get("format") == FORMAT:
        model, report = _from_own(content, source)
    elif isinstance(content.get("arch"), str) and isinstance(content.get("model"), dict):
        model, report = from_published(content["arch"], content["model"], source=source)
    else:
        raise CheckpointError(
            f"{source} is foreign: neither an rspnet checkpoint nor one of the paper's "
            f"(its entries: {', '.join(sorted(map(str, content))[:6]) or 'none'})"
        )
    return model.eval(), report


def from_export(folder: Path) -> tuple[RSPNet, LoadReport]:
    """A model in eval mode with the exported query encoder in both encoders; exports hold no key queue.

    Raises:
        CheckpointError: no export of a pre-trained network with its heads, a damaged one, or safetensors is missing.
    """
    try:
        network, description = load_exported(folder)
    except ModuleNotFoundError as error:
        raise CheckpointError(f"reading {str(folder)!r} needs the extra: pip install 'rspnet[export]'") from error
    if not isinstance(network, FeatureNet) or not isinstance(network.network, Encoder):
        raise CheckpointError(f"{str(folder)!r} is an export without the two heads, so it is no pre-trained RSPNet")
    _, num_frames, size, _ = description["clip_shape"]
    settings = {name: description[name] for name in ("input", "head", "feature_dim")}
    model = RSPNet(description["backbone"], **settings, queue_size=1, num_frames=num_frames, size=size)
    state = network.network.state_dict()
    model.encoder_q.load_state_dict(state)
    model.encoder_k.load_state_dict(state)
    return model.eval(), LoadReport(used=tuple(state))


def from_published(arch: str, state: dict[str, Tensor], *, source: str) -> tuple[RSPNet, LoadReport]:
    """A model with the weights of a published pre-training file's `arch` and `model` entries, in train mode.

    The model takes the file's number format (float32 in the published files, float64 in exact tests).

    Raises:
        CheckpointError: unknown arch, a fine-tuned file, or keys and shapes other than the published ones.
    """
    if any(key.startswith("encoder.") for key in state):
        raise CheckpointError(f"{source} is a fine-tuned classifier of the paper's code, not a pre-training checkpoint")
    if arch not in PUBLISHED_BACKBONES:
        raise CheckpointError(f"{source} has the unknown arch {arch!r}; known: {', '.join(PUBLISHED_BACKBONES)}")
    renamed, report = convert_published(arch, state)
    queue = renamed.get("queue.keys")
    if queue is None or queue.dim() != 2:
        raise CheckpointError(f"{source} does not fit: no key queue [128, K] under 'queue'")
    model = RSPNet(
        PUBLISHED_BACKBONES[arch],
        queue_size=queue.shape[0],
        feature_dim=queue.shape[1],
        size=224 if arch == "s3dg" else 112,
    ).to(queue.dtype)
    load_strictly(model, renamed, source=source)
    return model, report


def _from_own(content: dict[Any, Any], source: str) -> tuple[PretextModel, LoadReport]:
    """A model from our own checkpoint's dictionary."""
    config, state = content.get("model_config"), content.get("model")
    if not isinstance(config, dict) or not isinstance(state, dict):
        raise CheckpointError(f"{source} is damaged: no 'model' or no 'model_config' in it")
    try:
        model = create_method(config)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{source} has a model_config that does not fit: {error}") from error
    load_strictly(model, state, source=source)
    return model, LoadReport(used=tuple(state))
