"""Size and SHA-256 of a downloaded file, written next to it at its first use and checked at every later one."""

from __future__ import annotations

import json
from pathlib import Path

from rspnet.core.errors import CheckpointError
from rspnet.core.files import sha256_of, write_json


def note_hash(file: Path) -> str:
    """Write FILE.sha256.json and return the SHA-256."""
    found = _fingerprint(file)
    write_json(_note(file), found)
    return str(found["sha256"])


def fits_noted_hash(file: Path) -> bool:
    """Whether there is a note next to the file, which then fits.

    Raises:
        CheckpointError: the note cannot be read, or the file has changed since.
    """
    note = _note(file)
    if not note.is_file():
        return False
    try:
        expected = json.loads(note.read_text(encoding="utf-8"))
        known = {name: expected[name] for name in ("size", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot read {str(note)!r}: remove it to note size and hash again") from error
    found = _fingerprint(file)
    if found != known:
        raise CheckpointError(
            f"{str(file)!r} has changed: {found['size']} bytes, SHA-256 {str(found['sha256'])[:12]}..., at its first "
            f"use {known['size']} bytes, {str(known['sha256'])[:12]}...; remove it and download again (or remove "
            f"{note.name!r} if the change is meant)"
        )
    return True


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256.json")


def _fingerprint(file: Path) -> dict[str, int | str]:
    return {"size": file.stat().st_size, "sha256": sha256_of(file)}
