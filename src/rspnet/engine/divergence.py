"""Ending a run whose loss is no longer a number, or explodes, and saying on which files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rspnet.core.errors import DivergedError
from rspnet.core.files import write_text
from rspnet.core.ranks import gather_objects, on_rank_zero, rank
from rspnet.core.run_files import has_checkpoint

BAD_BATCH = "bad_batch.csv"
_FIRST_STEPS = 100
_EXPLODED = 10.0
_Noted = tuple[int, Sequence[str], Mapping[str, Tensor]]


class DivergenceWatch:
    """Looks at the losses of all steps, but only now and then, so that no step of a GPU waits for it.

    A step is bad if its loss on any rank is not finite, or over ten times the highest of the run's first hundred.

    Args:
        folder: run folder, for `bad_batch.csv`: step, rank, file and metrics of the bad steps, one row a file.
        patience: bad steps in a row that end the run.
        files_of: the files a batch was made of.
    """

    def __init__(self, folder: Path, *, patience: int, files_of: Callable[[Any], Sequence[str]]) -> None:
        self._path = folder / BAD_BATCH
        self._patience, self._files_of = patience, files_of
        self._noted: list[_Noted] = []
        self._bad: list[_Noted] = []
        self._seen, self._highest = 0, 0.0

    def note(self, step: int, batch: Any, metrics: Mapping[str, Tensor]) -> None:
        """Remember a step; `metrics` has 0-dim tensors, "loss" among them."""
        self._noted.append((step, self._files_of(batch), metrics))

    def look(self, *, saving: bool) -> None:
        """Judge the steps noted since the last look (a collective call).

        Args:
            saving: a checkpoint is about to be written, so that not even one bad step is borne at the end.

        Raises:
            DivergedError: on every rank.
        """
        noted, self._noted = self._noted, []
        if not noted:
            return
        own = torch.stack([metrics["loss"].detach().float() for *_, metrics in noted]).tolist()
        for item, losses in zip(noted, zip(*gather_objects(own), strict=True), strict=True):
            worst = max(loss if math.isfinite(loss) else math.inf for loss in losses)
            if worst == math.inf or (self._seen >= _FIRST_STEPS and worst > _EXPLODED * self._highest):
                self._bad.append(item)
            else:
                self._bad.clear()
                if self._seen < _FIRST_STEPS:
                    self._seen, self._highest = self._seen + 1, max(self._highest, abs(worst))
            if len(self._bad) >= self._patience:
                self._end(worst)
        if saving and self._bad:
            self._end(worst)

    def state_dict(self) -> dict[str, Any]:
        """What the first steps were like, for a checkpoint."""
        return {"seen": self._seen, "highest": self._highest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over `state_dict`."""
        self._seen, self._highest = state["seen"], state["highest"]

    def _end(self, loss: float) -> None:
        parts = gather_objects([_rows(item) for item in self._bad])
        on_rank_zero(lambda: write_text(self._path, _as_csv(row for part in parts for rows in part for row in rows)))
        first, last = self._bad[0][0], self._bad[-1][0]
        value = f"{loss:g}" if math.isfinite(loss) else "not finite"
        on_rank_zero(lambda: _diverged(f"steps {first} to {last}: the loss is {value}", self._path))


def _diverged(what: str, path: Path) -> None:
    kept = "; the last checkpoint is from before them" if has_checkpoint(path.parent) else ""
    raise DivergedError(
        f"{what}; start again with a lower --optim.lr, --optim.warmup_steps or --optim.clip_grad_norm. The videos of "
        f"these steps are in {str(path)!r}{kept}"
    )


def _rows(item: _Noted) -> list[dict[str, Any]]:
    step, files, metrics = item
    values = {name: f"{float(value):.6g}" for name, value in metrics.items()}
    return [{"step": step, "rank": rank(), "file": file, **values} for file in files]


def _as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
    return text.getvalue()
