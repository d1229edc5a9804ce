"""Reading weights files safely, and the published checkpoints' names in terms of ours (official/README.md)."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rspnet.core.checkpoint_format import FORMAT, has_right_seal, upgrade
from rspnet.core.counts import counted
from rspnet.core.errors import CheckpointError
from rspnet.core.noted_hash import fits_noted_hash
from rspnet.core.weights_files import require_weights

PUBLISHED_BACKBONES: dict[str, str] = {
    "c3d": "c3d",
    "resnet18": "r3d_18",
    "r2plus1d-vcop": "r2plus1d_vcop",
    "s3dg": "s3dg",
}
"""`arch` of a published file -> our backbone."""


def published_size(backbone: str) -> int:
    """Height and width of the clips that the published weights of a backbone were trained with."""
    return 224 if backbone == "s3dg" else 112


_UNUSED_LINEAR = re.compile(r"encoder_[qk]\.encoder\.(fc|linear)\.(weight|bias)")

_COMMON_RULES: tuple[tuple[str, str], ...] = (
    (r"^queue$", "queue.keys"),
    (r"^queue_ptr$", "queue.position"),
    (r"^(encoder_[qk])\.fc1\.2\.", r"\1.appearance_head.linear."),
    (r"^(encoder_[qk])\.fc2\.2\.", r"\1.motion_head.linear."),
    (r"^(encoder_[qk])\.encoder\.", r"\1.backbone."),
)
_R2PLUS1D_RULES: tuple[tuple[str, str], ...] = (
    (r"\.backbone\.conv1\.", ".backbone.stem."),
    (r"\.backbone\.bn1\.", ".backbone.stem_bn."),
    (r"\.backbone\.conv2\.block1\.", ".backbone.stage1."),
    (r"\.backbone\.conv3\.block1\.", ".backbone.stage2."),
    (r"\.backbone\.conv4\.block1\.", ".backbone.stage3."),
    (r"\.backbone\.conv5\.block1\.", ".backbone.stage4."),
    (r"\.downsampleconv\.", ".shortcut."),
    (r"\.downsamplebn\.", ".shortcut_bn."),
    (r"\.(spatial|temporal)_conv\.", r".\1."),
)
_S3DG_RULES: tuple[tuple[str, str], ...] = (
    (r"\.backbone\.feature\.", ".backbone."),
    (r"\.backbone\.sepConv1\.", ".backbone.stem."),
    (r"\.backbone\.basicConv3d\.", ".backbone.conv2."),
    (r"\.backbone\.sep_conv2\.", ".backbone.conv3."),
    (r"\.backbone\.sepInc_", ".backbone.inception_"),
    (r"\.branch3\.1\.", ".branch3."),
    (r"\.sep_conv\.0\.", ".spatial."),
    (r"\.sep_conv\.1\.", ".temporal."),
    (r"\.excitation\.", ".gate."),
    (r"\.conv3d\.", ".conv."),
)
_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "c3d": _COMMON_RULES,
    "resnet18": _COMMON_RULES,
    "r2plus1d-vcop": _COMMON_RULES + _R2PLUS1D_RULES,
    "s3dg": _COMMON_RULES + _S3DG_RULES,
}


@dataclass(frozen=True)
class LoadReport:
    """What happened to every key of a weights file.

    Attributes:
        used: keys of the file that were loaded.
        skipped: key of the file -> why it was not.
        missing: keys of the model the file does not have (always empty after a strict load).
    """

    used: tuple[str, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def read_weights_file(path: str | os.PathLike[str], *, mapped: bool = True) -> dict[str, Any]:
    """The dictionary of a `torch.save` file, on the CPU, without ever executing code from it.

    A checkpoint of ours is checked against its checksum and brought up to the present schema, a file that `rspnet
    weights` downloaded against the size and hash noted then.

    Args:
        path: the file.
        mapped: let tensors be views of the file (read once, straight into a model); not for those that are kept.

    Raises:
        CheckpointError: missing, empty or damaged file, one that needs pickled code, or not a dictionary.
    """
    file = Path(path)
    require_weights(file)
    try:
        # Only the zip format (torch >= 1.6) can be mapped.
        sealed = has_right_seal(file)
        fits_noted_hash(file)
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(file))
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read weights {str(file)!r}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        refused = re.search(r"(?:Unsupported global: GLOBAL|class) ([\w.]+)", str(error))
        if refused is None:
            raise CheckpointError(f"cannot read weights {str(file)!r}: damaged, or not a torch file") from error
        raise CheckpointError(
            f"refused weights {str(file)!r}: it asks to run code ({refused[1]}), and only tensors and plain values "
            "are ever loaded; re-save its state dict from a source you trust"
        ) from error
    except Exception as error:  # a damaged file can make the unpickler raise nearly anything
        raise CheckpointError(f"cannot read weights {str(file)!r}: damaged, or not a torch file") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"cannot use weights {str(file)!r}: holds a {type(content).__name__}, not a dictionary")
    if content.get("format") == FORMAT:
        return upgrade(content, source=f"checkpoint {str(file)!r}", sealed=sealed)
    return content


def convert_published(arch: str, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], LoadReport]:
    """Translate the `model` entry of a published pre-training checkpoint.

    Args:
        arch: the file's own name of the architecture, a key of `PUBLISHED_BACKBONES`.
        state: its tensors under its names.

    Returns:
        Tensors under our names, and the report.

    """
    renamed: dict[str, Tensor] = {}
    used: list[str] = []
    skipped: dict[str, str] = {}
    for key, value in state.items():
        if _UNUSED_LINEAR.fullmatch(key):
            skipped[key] = "the published backbone's own last linear layer, which RSPNet never uses"
            continue
        name = key
        for pattern, replacement in _RULES[arch]:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value.T if name == "queue.keys" else value  # NOTE: their keys are columns, ours are rows
        used.append(key)
    return renamed, LoadReport(used=tuple(used), skipped=skipped)


def load_strictly(module: nn.Module, state: Mapping[str, Any], *, source: str) -> None:
    """Copy `state` into `module`, whose names and shapes it must match exactly.

    Raises:
        CheckpointError: keys missing, keys unknown, a shape that differs, or a NaN; says which, and changes nothing.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own]
    if missing or unknown:
        raise CheckpointError(
            f"{source} does not fit: {_some('missing', missing)}{_some('unknown', unknown)}".rstrip("; ")
        )
    for key, tensor in own.items():
        given = state[key]
        if not isinstance(given, Tensor) or given.shape != tensor.shape:
            shape = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise CheckpointError(f"{source} does not fit: {key!r} is {shape}, the model's is {list(tensor.shape)}")
    refuse_not_finite(state, source=source)
    module.load_state_dict(dict(state))


def refuse_not_finite(state: Mapping[str, Any], *, source: str) -> None:
    """Raise `CheckpointError` where a tensor holds a NaN or an infinity: nothing that is computed with it means much.

    Args:
        state: tensors by name.
        source: names the file.
    """
    bad = [key for key, value in state.items() if isinstance(value, Tensor) and not torch.isfinite(value).all()]
    if bad:
        names = ", ".join(bad[:3]) + (", ..." if len(bad) > 3 else "")
        raise CheckpointError(
            f"{source}: NaN or infinity in {counted(len(bad), 'tensor')} ({names}): the training that made "
            "them has diverged, use an earlier checkpoint"
        )


def _some(kind: str, keys: list[str]) -> str:
    """`kind` with how many and the first few keys; nothing where there are none."""
    if not keys:
        return ""
    return f"{counted(len(keys), f'{kind} key')} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}); "
