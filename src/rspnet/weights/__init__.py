"""Weights that come with the package: small files in our own checkpoint format, opened by name; and `catalogue`.

What they know, and how they are made: docs/rspnet-small.md.
"""

from __future__ import annotations

from pathlib import Path

DEFAULT = "rspnet-small"
"""What commands use where no model is named."""
_FOLDER = Path(__file__).parent


def shipped_names() -> list[str]:
    """The names, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.ckpt"))


def shipped_file(name: str) -> Path | None:
    """The file of that name, or None where no such weights come with the package."""
    return _FOLDER / f"{name}.ckpt" if name in shipped_names() else None
