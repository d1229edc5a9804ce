"""Scores of a classifier on a split after every epoch of its training, and which epoch is the best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import EvenClips
from rspnet.features.scores import top_k_hits
from rspnet.models.classifier import Classifier
from rspnet.runs.classifiers import shared_scores
from rspnet.runs.predictions import labels_of
from rspnet.runs.training import TrainingProcess

BEST = "best.ckpt"
"""The weights of the best epoch in a run folder."""


class LookedAt(NamedTuple):
    """The videos that are looked at: a name for messages, and the records."""

    name: str
    records: Sequence[VideoRecord]


class EpochLooks:
    """An `EpochJudge` of classifiers (see `rspnet.runs.training`).

    Args:
        model: the classifier.
        split: what it is looked at on; without videos nothing happens.
        view: which clips of each video.
        machine: `precision` and `num_workers` for `shared_scores`.
        steps_per_epoch: to name epochs by.
        keep_best: keep the weights of the best epoch as `BEST`.
    """

    def __init__(
        self,
        model: Classifier,
        split: LookedAt,
        view: EvenClips,
        *,
        machine: Mapping[str, Any],
        steps_per_epoch: int,
        keep_best: bool,
    ) -> None:
        self.found: list[dict[str, float]] = []
        self._model, self._split, self._view, self._machine = model, split, view, machine
        self._steps_per_epoch, self._keep_best = steps_per_epoch, keep_best

    def content(self) -> dict[str, Any]:
        """All looks so far, oldest first."""
        return {"looks": self.found}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over a checkpoint's looks."""
        self.found = list(saved["looks"])

    def after_epoch(self, process: TrainingProcess, step: int, console: Console) -> str | None:
        """Note top-1; `BEST` where it is the best so far (of equals the first) and kept."""
        if not self._split.records:
            return None
        kept, scores = self._scores(process)
        top1 = float(top_k_hits(scores, labels_of(kept), 1).mean()) if kept else 0.0
        is_best = all(top1 > look["top1"] for look in self.found)
        epoch = step / self._steps_per_epoch
        self.found.append({"epoch": epoch, "step": step, "top1": top1})
        console.print(f"epoch {epoch:g}: {self._split.name} top-1 {top1:.3f}")
        return BEST if is_best and self._keep_best else None

    def _scores(self, process: TrainingProcess) -> tuple[list[VideoRecord], NDArray[np.float32]]:
        self._model.eval()
        machine = {"device": process.fabric.device, **self._machine}
        kept, scores, _ = shared_scores(self._model, self._split.records, self._view, machine)
        self._model.train()
        return kept, scores
