"""Where curves are written: CSV, TensorBoard, Weights & Biases."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from rspnet.core.errors import ConfigError

METRICS = "metrics.csv"


class Curves(Protocol):
    """A writer of curves."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to every curve."""

    def close(self) -> None:
        """Flush and close."""


class CsvCurves:
    """`metrics.csv`, one row per log point. Rows after the step a run resumes from are dropped first."""

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / METRICS
        kept = [row for row in read_curves(path) if float(row["step"]) <= step] if path.exists() and step else []
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer: csv.DictWriter[str] | None = None
        for row in kept:
            self._row(row)

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

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to every curve."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class WandbCurves:
    """Weights & Biases (extra `wandb`); the run's id is the run folder's name, so a resume continues it."""

    def __init__(self, folder: Path, _step: int) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise ConfigError("--engine.loggers wandb: install the extra, pip install 'rspnet[wandb]'") from error
        self._run = wandb.init(dir=folder, id=folder.resolve().name, resume="allow")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log one point."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Finish the upload."""
        self._run.finish()


CURVES: dict[str, Callable[[Path, int], Curves]] = {
    "csv": CsvCurves,
    "tensorboard": TensorBoardCurves,
    "wandb": WandbCurves,
}
"""Writers by the name `--engine.loggers` has for them; called with the run folder and the step the run starts at."""


def read_curves(path: Path) -> list[dict[str, str]]:
    """The rows of a `metrics.csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
