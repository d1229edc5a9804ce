"""Checkpoints: one file with everything an exact resume needs, written atomically, read without unpickling code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from rspnet.core.checkpoint_format import FORMAT, SCHEMA
from rspnet.core.errors import CheckpointError
from rspnet.core.files import atomic_path

LAST = "last.ckpt"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, text and containers of them) with format name and schema version.

    Equal content gives equal bytes: the file is written through a handle, so its own name does not get into it, and
    equal texts are made one object, so that it does not matter where they came from.
    """
    canonical = _canonical({"format": FORMAT, "schema": SCHEMA, **content}, {})
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(canonical, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint`; tensors land on the CPU.

    Raises:
        CheckpointError: missing, damaged, of another program or of a later version, or holding code.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {str(path)!r}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file; all mean the same to the user
        raise CheckpointError(f"{str(path)!r} is damaged or no checkpoint: {_first_line(error)}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{str(path)!r} is no rspnet checkpoint")
    if content["schema"] > SCHEMA:
        raise CheckpointError(
            f"{str(path)!r} has schema {content['schema']}, this version reads up to {SCHEMA}: upgrade"
        )
    return content


class CheckpointFolder:
    """The checkpoints of one run: `last.ckpt`, and the newest `keep` numbered ones."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, content: dict[str, Any], *, step: int, numbered: bool) -> None:
        """Write `last.ckpt`, and where `numbered` also a kept copy named by its step."""
        save_checkpoint(self.folder / LAST, content)
        if not (numbered and self.keep):
            return
        kept = self.folder / f"step-{step:08d}.ckpt"
        with atomic_path(kept) as temporary:
            shutil.copyfile(self.folder / LAST, temporary)
        for old in sorted(self.folder.glob("step-*.ckpt"))[: -self.keep]:
            old.unlink()

    def load_last(self) -> dict[str, Any] | None:
        """The content of `last.ckpt`, or None where the run has none yet."""
        return load_checkpoint(self.folder / LAST) if (self.folder / LAST).exists() else None


def _canonical(value: Any, texts: dict[str, str]) -> Any:
    """Fresh plain containers and one object for equal texts: pickle writes a shared object only once."""
    if isinstance(value, str):
        return texts.setdefault(value, value)
    if isinstance(value, dict):
        return {_canonical(key, texts): _canonical(inner, texts) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner, texts) for inner in value]
    return value


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
