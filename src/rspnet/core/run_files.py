"""Names of the files in a run folder, and which of them holds the weights that the run reports."""

from __future__ import annotations

import json
import os
from pathlib import Path

CONFIG = "config.yaml"
RESULT = "result.json"
LAST = "last.ckpt"
NUMBERED = "step-*.ckpt"


def reported_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The path itself, or of a run folder the checkpoint that its result reports, else the last one."""
    folder = Path(path)
    if not folder.is_dir():
        return folder
    try:
        return folder / str(json.loads((folder / RESULT).read_text(encoding="utf-8"))["results"]["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder / LAST


def has_checkpoint(folder: Path) -> bool:
    """Whether a training has left a checkpoint in a folder."""
    return (folder / LAST).exists() or any(folder.glob(NUMBERED))
