"""Which file the name of some weights means; nothing here imports torch, so that a wrong name is found at once."""

from __future__ import annotations

import os
from pathlib import Path

from rspnet.core.errors import CheckpointError
from rspnet.core.files import READ_HERE, refuse_address
from rspnet.core.names import did_you_mean
from rspnet.core.noted_hash import fits_noted_hash
from rspnet.core.run_files import reported_checkpoint
from rspnet.weights import shipped_file, shipped_names

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
"""What `rspnet export` writes; in a folder of Hugging Face's the weights are called so, too."""
PROGRAM_FILE, ONNX_FILE = "model.pt2", "model.onnx"
"""The same in the formats that are for other programs."""
PROGRAM, TRANSFORMER = "torch:", "hf:"


def outside_place(name: str | os.PathLike[str]) -> tuple[str, Path] | None:
    """The prefix and the path of an encoder of another program, or None for any other name of weights."""
    text = os.fspath(name)
    for prefix in (PROGRAM, TRANSFORMER):
        if text.startswith(prefix):
            return prefix, Path(text.removeprefix(prefix))
    return None


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The file with the weights.

    Of `torch:FILE` and `hf:FOLDER` the file that is meant; else the path itself; of a folder that `rspnet export` wrote
    `model.safetensors`; of a run folder the checkpoint that the run reports; or, where there is neither file nor
    folder, the weights of that name that come with the package.

    Raises:
        ConfigError: it is the address of an object store or web server.
    """
    if (outside := outside_place(path)) is not None:
        prefix, place = outside
        return place if prefix == PROGRAM else place / WEIGHTS
    refuse_address("weights", os.fspath(path), rule=READ_HERE)
    inside = Path(path) / WEIGHTS
    if inside.with_name(DESCRIPTION).is_file():
        return inside
    if (reported := reported_checkpoint(path)).is_file():
        return reported
    own = None if Path(path).exists() else shipped_file(os.fspath(path))
    return Path(path) if own is None else own


def not_of_finetune(name: str, command: object) -> CheckpointError:
    """The error of weights by another command than `finetune` where classes are to be named."""
    return CheckpointError(f"weights {name!r} are of rspnet {command}, not of rspnet finetune: they know no classes")


def require_weights(file: Path) -> None:
    """Raise `CheckpointError` unless the file is there and begins as files of weights do.

    Says what was meant where the name is nearly one of ours, and how to get the file where others have published it.
    """
    if file.is_file():
        if not _may_be_weights(file):
            fits_noted_hash(file)  # a download that is damaged has a better error
            raise CheckpointError(f"cannot read weights {str(file)!r}: damaged, or not a torch file")
        return
    from rspnet.weights.catalogue import CATALOGUE

    why, name = "no such file", os.fspath(file)
    if file.is_dir():
        inside = min((path.name for path in file.glob("*.ckpt")), default=None)
        why = "a folder without weights; name a run folder of a training, an export, or a file"
        why = why if inside is None else f"a folder; name the checkpoint in it, such as {inside}"
    elif (program := file.with_name(PROGRAM_FILE)).is_file():
        why = f"its folder is an export as program; name {PROGRAM}{program}"
    elif file.with_name(ONNX_FILE).is_file():
        why = "its folder is an export as onnx, which is not read back; name what it was made of"
    elif name in CATALOGUE:
        why = (
            f"they do not come with the package; get their file by rspnet weights {name} --download FOLDER, and name it"
        )
    elif meant := did_you_mean(name, shipped_names(), cutoff=0.6):
        why += f"; {meant}"
    raise CheckpointError(f"cannot read weights {name!r}: {why}")


def _may_be_weights(file: Path) -> bool:
    """Whether a file ends like safetensors, or begins like what torch writes: a zip archive, or before 1.6 a pickle."""
    if file.suffix == ".safetensors":
        return True
    try:
        with file.open("rb") as opened:
            return opened.read(1) in (b"P", b"\x80")
    except OSError:  # the reader says why
        return True
