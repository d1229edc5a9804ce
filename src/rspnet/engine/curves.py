"""Where curves are written: CSV, TensorBoard, Weights & Biases."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from rspnet.core.errors import ConfigError
from rspnet.core.files import atomic_path, write_json

METRICS = "metrics.csv"


class Curves(Protocol):
    """A writer of curves."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to every curve."""

    def close(self) -> None:
        """Flush and close."""


class CsvCurves:
    """`metrics.csv`, one row per log point. Rows after the step a run resumes from are dropped first, all at once."""

    def __init__(self, folder: Path, step: int, unfinished: bool = False) -> None:
        path = folder / METRICS
        rows = read_curves(path) if path.exists() and step else []
        kept = [row for row in rows if float(row["step"]) <= step - unfinished]
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(kept[0]) if kept else [])
            if kept:
                writer.writeheader()
            writer.writerows(kept)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, fieldnames=list(kept[0])) if kept else None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row and flush it."""
        self._row({"step": step, **{name: f"{value:.6g}" for name, value in metrics.items()}})

    def _row(self, row: Mapping[str, Any]) -> None:
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, fieldnames=list(row))
            self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardCurves:
    """TensorBoard event files in `tensorboard/`; a resumed run hides the points it will write again."""

    def __init__(self, folder: Path, step: int, unfinished: bool = False) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 - unfinished if step else None)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to every curve."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class WandbCurves:
    """Weights & Biases (extra `wandb`), online or offline; a resume continues the run and logs no step twice.

    `wandb.json` in the run folder holds the run's id and the last step logged. Points between a checkpoint and the end
    of a killed run are there already when a resume comes to them, and an exact resume has the same values.
    """

    def __init__(self, folder: Path, step: int, unfinished: bool = False) -> None:  # noqa: ARG002 - no point is taken back
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise ConfigError("--engine.loggers wandb: install the extra, pip install 'rspnet[wandb]'") from error
        self._path = folder / "wandb.json"
        if step and self._path.exists():
            self._state = json.loads(self._path.read_text(encoding="utf-8"))
        else:
            mark = hashlib.sha256(f"{folder.resolve()} {time.time_ns()}".encode()).hexdigest()[:8]
            self._state = {"id": f"{folder.resolve().name}-{mark}", "step": 0}
            write_json(self._path, self._state)
        self._run = wandb.init(dir=folder, id=self._state["id"], name=folder.resolve().name, resume="allow")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log one point, unless an earlier process has."""
        if step <= self._state["step"]:
            return
        self._run.log(dict(metrics), step=step)
        self._state["step"] = step
        write_json(self._path, self._state)

    def close(self) -> None:
        """Finish the upload."""
        self._run.finish()


CURVES: dict[str, Callable[[Path, int, bool], Curves]] = {
    "csv": CsvCurves,
    "tensorboard": TensorBoardCurves,
    "wandb": WandbCurves,
}
"""Writers by the name `--engine.loggers` has for them; called with the run folder, the step the run starts at, and
whether the point there is of a stop between two regular ones, to be dropped."""


def read_curves(path: Path) -> list[dict[str, str]]:
    """The rows of a `metrics.csv`; one that a killed run left half-written is none."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if line.endswith("\n")))
