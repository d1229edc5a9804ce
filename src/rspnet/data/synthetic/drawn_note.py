"""What a folder of drawn videos holds, noted beside it: files that are there stay, and must be those that are meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rspnet.core.errors import ConfigError
from rspnet.core.files import write_json

_HOW = "name another --out, or remove that folder and its note if rspnet drew what is in it"


def note_drawn(folder: Path, wanted: Mapping[str, int], *, before: Mapping[str, int] | None = None) -> None:
    """Note in FOLDER.json what is about to be drawn; call it before anything is.

    Args:
        folder: of the videos.
        wanted: all that they depend on, such as their number and their seed.
        before: the same of what is there, where no note says it and something else does.

    Raises:
        ConfigError: the folder holds videos of other settings, or files of which no note says what they are.
    """
    note = folder.with_name(f"{folder.name}.json")
    there = _noted(note) or before
    if there is None and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{str(folder)!r} holds files, and no {note.name} beside it says which: {_HOW}")
    if there is not None and there != wanted:
        raise ConfigError(
            f"{str(folder)!r} holds videos drawn with {_in_words(there)}, not {_in_words(wanted)}: {_HOW}"
        )
    write_json(note, dict(wanted))


def _noted(note: Path) -> dict[str, int] | None:
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _in_words(settings: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
