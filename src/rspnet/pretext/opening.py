"""Opening files that hold a network with both heads, as the class that its caller names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import Tensor

from rspnet.core.checkpoint_format import CLASSIFIER_TASK, ENCODER_TASK, FORMAT
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.plugins import require_plugins
from rspnet.core.weights_files import DESCRIPTION, WEIGHTS, weights_file
from rspnet.models.exported import FeatureNet, Network, load_exported
from rspnet.models.heads import Encoder
from rspnet.models.weights import (
    PUBLISHED_BACKBONES,
    LoadReport,
    convert_published,
    load_strictly,
    published_size,
    read_weights_file,
)
from rspnet.pretext.arguments import BARE_METHOD
from rspnet.pretext.base import PretextModel

Model = TypeVar("Model", bound=PretextModel)


def open_heads(kind: Callable[..., Model], name: str | os.PathLike[str], *, revision: str | None = None) -> Model:
    """The model with both heads, in eval mode on the CPU, of a file, folder or hub repository.

    Args:
        kind: makes the model from `PretextModel.config`; its `encoder_q` and `encoder_k` are `Encoder`s.
        name: see `RSPNet.from_pretrained`.
        revision: of the repository.

    Raises:
        CheckpointError: not there, damaged, or without heads.
    """
    file = weights_file(name)
    if not file.exists():
        file = weights_file(_download(os.fspath(name), revision))
    if file.name == WEIGHTS and file.with_name(DESCRIPTION).exists():
        found = heads_of_export(kind, *open_export(file.parent), source=f"exported model {str(file.parent)!r}")
    else:
        content, source = read_weights_file(file), f"checkpoint {str(name)!r}"
        if is_published_pretraining(content):
            found = heads_of_published(kind, content["arch"], content["model"], source=source)
        elif content.get("format") == FORMAT and content.get("task") != CLASSIFIER_TASK:
            method = content.get("model_config", {}).get("method")
            found = None if method else restored(partial(built, kind), content, source=source)
        else:
            method, found = BARE_METHOD, None
    if found is None:
        raise without_heads("RSPNet.from_pretrained", method=method)
    model: Model = found[0].eval()
    return model


def without_heads(task: str, *, method: str) -> CheckpointError:
    """The error of a task that needs the heads, where a network was pre-trained by another method."""
    origin = (
        "these weights hold a backbone"
        if method == BARE_METHOD
        else f"this network was pre-trained by {method!r} and has its backbone"
    )
    return CheckpointError(
        f"{task} needs the motion and the appearance head of RSPNet; {origin} only: use probe, retrieve or embed"
    )


def open_export(folder: Path) -> tuple[Network, dict[str, Any]]:
    """The network of an exported folder and its description.

    Raises:
        CheckpointError: a damaged export, or safetensors is missing.
    """
    try:
        return load_exported(folder)
    except ModuleNotFoundError as error:
        raise CheckpointError(f"reading {str(folder)!r} needs the extra: pip install 'rspnet[export]'") from error


def heads_of_export(
    kind: Callable[..., Model], network: Network, description: Mapping[str, Any], *, source: str
) -> tuple[Model, LoadReport] | None:
    """A model with the exported query encoder in both encoders (exports hold no key queue); None without heads."""
    if not isinstance(network, FeatureNet) or not isinstance(network.network, Encoder):
        return None
    _, num_frames, size, _ = description["clip_shape"]
    settings = {name: description[name] for name in ("input", "head", "feature_dim")}
    settings |= {"num_frames": num_frames, "size": size, "stride": description.get("stride", 1)}
    model = kind(description["backbone"], **settings, queue_size=1)
    model.fps = description.get("fps")
    return model, _fill_encoders(model, network.network.state_dict(), source=source)


def is_published_pretraining(content: Mapping[str, Any]) -> bool:
    """Whether a dictionary is a pre-training file of the paper's code (fine-tuned ones have no queue)."""
    model = content.get("model")
    return isinstance(content.get("arch"), str) and isinstance(model, dict) and "queue" in model


def heads_of_published(
    kind: Callable[..., Model], arch: str, state: dict[str, Tensor], *, source: str
) -> tuple[Model, LoadReport]:
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
    model = kind(
        PUBLISHED_BACKBONES[arch],
        queue_size=queue.shape[1],
        feature_dim=queue.shape[0],
        size=published_size(PUBLISHED_BACKBONES[arch]),
    ).to(queue.dtype)
    load_strictly(model, renamed, source=source)
    return model, report


def restored(
    build: Callable[[Mapping[str, Any]], Model], content: Mapping[Any, Any], *, source: str
) -> tuple[Model, LoadReport]:
    """The model of our own pre-training checkpoint.

    Args:
        build: makes it from its `config`.
        content: of the checkpoint.
        source: of the checkpoint, for messages.

    Raises:
        CheckpointError: the parts of the checkpoint do not belong together.
    """
    config, state = model_config(content), content.get("model")
    if config is None or not isinstance(state, dict):
        raise CheckpointError(f"{source} is damaged: no 'model' or no 'model_config' in it")
    try:
        model = build(config)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{source} has a model_config that does not fit: {error}") from error
    if content.get("task") == ENCODER_TASK:
        return model, _fill_encoders(model, state, source=source)
    load_strictly(model, state, source=source)
    return model, LoadReport(used=tuple(state))


def model_config(content: Mapping[Any, Any]) -> dict[str, Any] | None:
    """`PretextModel.config` of our own pre-training checkpoint; earlier ones have `fps` in the run's options alone."""
    config, options = content.get("model_config"), content.get("config")
    if not isinstance(config, dict):
        return None
    data = options.get("data") if isinstance(options, dict) else None
    fps = data.get("fps") if isinstance(data, dict) else None
    return config | ({"fps": fps} if fps else {})


def _fill_encoders(model: PretextModel, state: dict[str, Tensor], *, source: str) -> LoadReport:
    """Take a query encoder's weights for both encoders; what was trained at the file's number format is converted."""
    for encoder in (model.encoder_q, model.encoder_k):
        load_strictly(cast(Encoder, encoder), state, source=source)
    return LoadReport(used=tuple(state))


def built(kind: Callable[..., Model], config: Mapping[str, Any]) -> Model:
    """The model that `kind` makes of a `PretextModel.config`, which also names plug-ins and the rate of its videos.

    Raises:
        ConfigError: a plug-in that is not loaded.
    """
    settings = dict(config)
    require_plugins(settings.pop("plugins", ()))
    fps = settings.pop("fps", None)
    model = kind(**settings)
    model.fps = fps
    return model


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
