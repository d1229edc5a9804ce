"""`rspnet export`: networks as safetensors, torch.export programs or ONNX, each checked against the original."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rspnet.config.export import ExportConfig
from rspnet.core.checkpoint_format import CLASSIFIER_TASK
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.files import atomic_path, sha256_of
from rspnet.core.rng import torch_rng
from rspnet.core.weights_files import DESCRIPTION, ONNX_FILE, PROGRAM_FILE, WEIGHTS, outside_place, weights_file
from rspnet.models.exported import (
    PREFIX,
    Network,
    build_network,
    largest_difference,
    load_exported,
    output_names,
    save_exported,
    write_description,
)
from rspnet.models.weights import read_weights_file
from rspnet.pretext.exporting import describe_network
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.classifiers import open_classifier
from rspnet.runs.huggingface import BESIDES, save_huggingface
from rspnet.runs.run_folder import RESULT, command_of, open_run_folder, plain, write_result

TOLERANCE = 1e-4
_NEEDED = {
    "safetensors": ["safetensors"],
    "huggingface": ["safetensors"],
    "program": [],
    "onnx": ["onnx", "onnxruntime", "onnxscript"],
}
_FILES = {"safetensors": WEIGHTS, "huggingface": WEIGHTS, "program": PROGRAM_FILE, "onnx": ONNX_FILE}
Outputs = tuple[Tensor, ...]


def export(config: ExportConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: a bad checkpoint, a missing extra, an export of another format in the folder, or one that computes
            something else.
    """
    missing = [name for name in _NEEDED[config.format] if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"--format {config.format} needs {', '.join(missing)}: pip install 'rspnet[export]'")
    _refuse_files_of_others(Path(config.out), config.format)
    network, description = open_network(config.weights)
    folder = open_run_folder(config.out, config, command="export")
    path = folder / _FILES[config.format]
    if config.format == "safetensors":
        gap = _safetensors(network, path, description)
    elif config.format == "huggingface":
        gap = _huggingface(network, folder, description, source=config.weights)
    else:
        gap = {"program": _program, "onnx": _onnx}[config.format](network, path, description["clip_shape"])
        write_description(network, folder, description, format=config.format)
    write_result(
        folder,
        command="export",
        protocol=plain(config) | {"file_sha256": sha256_of(path)},
        results={"file": path.name, "outputs": output_names(network), "largest_difference": gap},
    )
    print(f"wrote {path}: outputs {', '.join(output_names(network))}; largest difference to the network {gap:.1e}")


def _refuse_files_of_others(folder: Path, format: str) -> None:  # noqa: A002
    """Raise `ConfigError` where a folder holds files that this export would replace, or mix with its own."""
    try:
        there = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        written = (_FILES[format], *(BESIDES if format == "huggingface" else ()))
        foreign = [name for name in written if (folder / name).exists()]
        if foreign and command_of(folder) != "export":  # an export that was killed is made again
            raise ConfigError(
                f"--out {str(folder)!r} holds a {foreign[0]} of something else: name a new folder"
            ) from None
        return
    if there != format:
        raise ConfigError(f"--out {str(folder)!r} holds an export as {there}: name another folder for {format}")


def open_network(model: str) -> tuple[Network, dict[str, Any]]:
    """The network of a checkpoint in eval mode on the CPU, float32, and its description (see `build_network`).

    Raises:
        CheckpointError: see `load_pretrained` and `open_classifier`.
        ConfigError: the network is another program's.
    """
    is_ours = outside_place(model) is None
    if is_ours and (Path(model) / DESCRIPTION).is_file():
        network, description = load_exported(model)
    elif is_ours and read_weights_file(weights_file(model)).get("task") == CLASSIFIER_TASK:
        trained = open_classifier(model)
        clips = trained.config["clips"]
        names = {"kind": "classifier", "num_classes": len(trained.class_names), "class_names": trained.class_names}
        network = trained.model
        names |= {"training": {"config": trained.config, "init_sha256": trained.init_sha256}}
        names |= {name: clips[name] for name in ("stride", "fps") if clips.get(name)}
        description = names | describe_network(network.backbone, num_frames=clips["num_frames"], size=clips["size"])
    else:
        network, description = load_pretrained(model).exported()
    return network.float().eval(), description


def _safetensors(network: Network, path: Path, description: dict[str, Any]) -> float:
    save_exported(network, path.parent, description)
    loaded, _ = load_exported(path.parent)
    return _checked(network, loaded, path, description["clip_shape"])


def _huggingface(network: Network, folder: Path, description: dict[str, Any], *, source: str) -> float:
    from safetensors.torch import load_file

    file = weights_file(source)
    facts: dict[str, Any] = {"source": file.name, "weights_sha256": sha256_of(file)}
    with suppress(OSError, ValueError, KeyError, TypeError):  # a file alone says nothing of its training
        result = json.loads((Path(source) / RESULT).read_text(encoding="utf-8"))
        facts |= {"training": result["protocol"], "results": result["results"]}
    path = save_huggingface(network, folder, description, facts)
    twin = build_network(description)
    twin.load_state_dict({name.removeprefix(PREFIX): value for name, value in load_file(path).items()})
    return _checked(network, twin, path, description["clip_shape"])


def _program(network: Network, path: Path, shape: list[int]) -> float:
    program = _traced(network, shape)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file)
    return _checked(network, torch.export.load(path).module(), path, shape)


def _onnx(network: Network, path: Path, shape: list[int]) -> float:
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        program = torch.onnx.export(
            _traced(network, shape),
            dynamo=True,
            input_names=["clips"],
            output_names=output_names(network),
            verbose=False,
        )
    assert program is not None
    with atomic_path(path) as temporary:
        program.save(temporary)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

    def run(clips: Tensor) -> Outputs:
        return tuple(torch.from_numpy(part) for part in session.run(None, {"clips": clips.numpy()}))

    return _checked(network, run, path, shape)


def _traced(network: Network, shape: list[int]) -> Any:
    """The network as a torch.export program with a free batch size."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    return torch.export.export(network, (torch.zeros(2, *shape),), dynamic_shapes=({0: batch},))


@torch.no_grad()
def _checked(network: Network, other: Callable[[Tensor], Any], path: Path, shape: list[int]) -> float:
    """The largest difference on random clips, in batches of 1 and 3, as a share of the largest output where above 1.

    Raises:
        CheckpointError: it is above 1e-4; the file is removed.
    """
    gap = 0.0
    for batch in (1, 3):
        clips = torch.randn(batch, *shape, generator=torch_rng("export", batch))
        gap = max(gap, largest_difference(network(clips), other(clips)))
    if gap > TOLERANCE:
        path.unlink()
        raise CheckpointError(
            f"export {str(path)!r} refused: it differs from the model by {gap:.1e}, above {TOLERANCE}; "
            "try another --format"
        )
    return gap
