"""What makes a file a checkpoint of ours: its name, its schema and its seal; used by `engine`, `models`, `pretext`.

A checkpoint is a `torch.save` zip archive. Its seal is the archive's comment, the last bytes of the file: the SHA-256
of all bytes before it. torch and zip tools read past it, and one pass over the file shows whether a byte has changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from rspnet.core.errors import CheckpointError

FORMAT = "rspnet"
SCHEMA = 2
"""Version of the layout; a later one is refused, earlier ones are brought up to it by `upgrade`."""
_FIRST_SEALED = 2
CLASSIFIER_TASK, BACKBONE_TASK, ENCODER_TASK = "finetune", "backbone", "encoder"
"""`task` of a checkpoint with a classifier, of one with a converted backbone alone, and of one with a query encoder
alone; others hold a pre-training."""

_MARK = b"sha256:"
_SEAL_BYTES = len(_MARK) + 64
_LENGTH = _SEAL_BYTES.to_bytes(2, "little")  # how a zip archive counts its comment, in the two bytes before it
_BLOCK = 1 << 20


def seal(path: Path) -> None:
    """Add the seal to a zip archive that has no comment yet."""
    with path.open("r+b") as file:
        size = file.seek(-len(_LENGTH), os.SEEK_END)
        assert file.read() == b"\0\0", "the archive already has a comment"
        file.seek(size)
        file.write(_LENGTH)
        file.write(_MARK + _digest(file, size + len(_LENGTH)))


def has_right_seal(path: Path) -> bool:
    """Whether a file ends with a seal, which then fits; files of schema 1 and of other programs have none.

    Raises:
        CheckpointError: the file was altered after it was sealed.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END) - _SEAL_BYTES
        if size < len(_LENGTH):
            return False
        file.seek(size - len(_LENGTH))
        found = file.read()
        if not found.startswith(_LENGTH + _MARK):
            return False
        if found != _LENGTH + _MARK + _digest(file, size):
            raise CheckpointError(f"{str(path)!r} is damaged: its checksum does not fit its content")
    return True


def upgrade(content: dict[str, Any], *, source: str, sealed: bool) -> dict[str, Any]:
    """The content of a checkpoint of any earlier schema as the present one has it; `source` names it in errors.

    Raises:
        CheckpointError: a later schema or none, or a seal that should be there and is not.
    """
    schema = content.get("schema")
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise CheckpointError(f"{source} has schema {schema!r}, this version reads 1 to {SCHEMA}: upgrade rspnet")
    if schema >= _FIRST_SEALED and not sealed:
        raise CheckpointError(f"{source} is damaged: it has lost its checksum")
    for step in _UPGRADES[schema - 1 :]:
        content = step(content)
    return content


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 is sealed, and says with what and from which videos a training was done: unknown for older files."""
    return {**content, "schema": 2, "made_with": {}, "videos_sha256": None}


_UPGRADES: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_from_1,)
"""One function a schema, from 1 on."""


def _digest(file: IO[bytes], size: int) -> bytes:
    """SHA-256 of the first `size` bytes, in hexadecimal; leaves the file's position behind them."""
    digest = hashlib.sha256()
    file.seek(0)
    while size and (block := file.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode()
