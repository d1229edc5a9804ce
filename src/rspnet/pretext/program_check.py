"""Whether a file of `torch.export` can be read without running anything that it brings along.

`torch.export.load` unpickles some entries of an archive without restraint, evaluates its expressions of sizes as Python
and makes Python source of its names. So an archive is read here first, as zip and JSON, and refused unless it holds raw
weights, calls of PyTorch's own operators and plain names alone.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from rspnet.core.errors import CheckpointError

_PLAIN_FILES = re.compile(
    r"archive_format|archive_version|byteorder|\.format_version|\.storage_alignment|\.data/\w+|extra/.*|models/model\.json"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt"
)
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b)\w+\.\w+|torch\.ops\.higher_order\.wrap_with_(?:set_grad_enabled|autocast)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge)"
    r"|math\.(ceil|floor|trunc)|torch\.sym_(int|float|max|min|not|ite|sqrt)"
)
_PLAIN_TEXT = re.compile(r"[\w.\-:/ ,()+*\[\]<>#]*")
_SYMBOL = re.compile(r"Symbol\('[a-z]{1,2}\d+'(?:, \w+=(?:True|False))*\)|\b[a-z]{1,2}\d+\b")
_FUNCTION = re.compile(r"\b(Integer|Add|Mul|Pow|Max|Min|Mod|FloorDiv|CleanDiv|CeilDiv|PythonMod|ModularIndexing)\b")
_ARITHMETIC = re.compile(r"[\d\s+\-*/(),]*")
_NOT_RUN = ("metadata", "guards_code", "in_spec", "out_spec")
"""Entries of a program that are read as JSON or not at all: the caller does not ask for guards."""


def check_program(path: Path) -> None:
    """Read the archive and refuse it unless it is plain.

    Raises:
        CheckpointError: no such file, not a program of torch.export, or one that would run something.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, NotImplementedError) as error:
        raise CheckpointError(f"{str(path)!r} is no program of torch.export.save, or it is damaged") from error


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    names = archive.namelist()
    inner = [name.partition("/")[2] for name in names]
    if len(set(inner)) != len(inner) or len({name.partition("/")[0] for name in names}) != 1:
        raise _refusal(path, "entries of one name")
    if "models/model.json" not in inner:
        kind = "TorchScript" if any(name.startswith("code/") for name in inner) else "a pickle"
        raise CheckpointError(
            f"{str(path)!r} holds no program of torch.export but {kind if 'data.pkl' in inner else 'something else'}: "
            "write it with torch.export.save (a state dict is opened without 'torch:')"
        )
    strange = [name for name in inner if not _PLAIN_FILES.fullmatch(name)]
    if strange:
        raise _refusal(path, f"the entry {strange[0]!r}")
    root = names[0].partition("/")[0]
    for kind in ("weights", "constants"):
        config = json.loads(archive.read(f"{root}/data/{kind}/model_{kind}_config.json"))
        if any(entry["use_pickle"] or "/" in entry["path_name"] for entry in config["config"].values()):
            raise _refusal(path, f"pickled {kind}")
    try:
        torch.load(io.BytesIO(archive.read(f"{root}/data/sample_inputs/model.pt")), weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(path, "pickled example inputs that are no tensors") from error
    for what, text in _texts(json.loads(archive.read(f"{root}/models/model.json")), ""):
        if what == "target" and not _OPERATORS.fullmatch(text):
            raise _refusal(path, f"a call of {text!r}, which is none of PyTorch's own operators")
        if what == "expr_str" and not _ARITHMETIC.fullmatch(_FUNCTION.sub("", _SYMBOL.sub("", text))):
            raise _refusal(path, f"the expression {text!r}")
        if what != "expr_str" and not _PLAIN_TEXT.fullmatch(text):
            raise _refusal(path, f"the name {text!r}")


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every text of a program with the key it stands under; keys themselves, too."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield "key", name
            if name not in _NOT_RUN:
                yield from _texts(item, name)


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"refused {str(path)!r}: {what} in it; only programs of torch.export.save with raw weights and PyTorch's own "
        "operators are opened"
    )
