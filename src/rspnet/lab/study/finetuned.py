"""A row's network fine-tuned on every task of a study, by `rspnet finetune`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.api.finetuning import run_finetuning
from rspnet.config.pretrain import PretrainConfig
from rspnet.core.errors import RSPNetError
from rspnet.core.files import csv_text, write_text
from rspnet.engine.stop import Stopped
from rspnet.lab.study.sets import StudySet, Task
from rspnet.lab.study.spec import Study, finetune_config
from rspnet.runs.predictions import read_predictions
from rspnet.runs.run_folder import RESULT

LABELS = "labels.csv"


def finetuned_hits(study: Study, run: str, config: PretrainConfig, videos: StudySet) -> dict[str, NDArray[np.bool_]]:
    """Task -> which of its test videos the fine-tuned network gets right, bool over those that are asked.

    Starts from the row's checkpoint, or from fresh weights where the run has none. Each task is a run of
    `rspnet finetune` in a folder of the row's.

    Raises:
        Stopped: stopped by a signal; the same call goes on from there.
        RSPNetError: a video cannot be read: a study compares on the same videos; or a loss that is not finite.
    """
    found = {}
    for number, (name, task) in enumerate(videos.tasks.items()):
        out = Path(config.out) / f"finetune-{number}"
        write_text(out / LABELS, labels_csv(videos, task))
        if not run_finetuning(finetune_config(study, run, config, out=str(out), listed=str(out / LABELS))).finished:
            raise Stopped
        result = json.loads((out / RESULT).read_text(encoding="utf-8"))
        found[name] = hits_in_order(videos, task, out / result["results"]["predictions"])
    return found


def labels_csv(videos: StudySet, task: Task) -> str:
    """The videos that a task asks about, as a list for `--data.kind csv`."""
    table = [["path", "label", "split"]]
    for split, records, labels in (("train", videos.train, task.train), ("test", videos.test, task.test)):
        pairs = zip(records, labels.tolist(), strict=True)
        table += [[record.name, task.classes[label], split] for record, label in pairs if label >= 0]
    return csv_text(table)


def hits_in_order(videos: StudySet, task: Task, predictions: Path) -> NDArray[np.bool_]:
    """Which of the test videos that are asked were right, in the set's order.

    Raises:
        RSPNetError: a video is missing from the predictions.
    """
    columns = read_predictions(predictions, ["name", "top1"])
    right = dict(zip(columns["name"].tolist(), columns["top1"].tolist(), strict=True))
    asked = [record.name for record, label in zip(videos.test, task.test.tolist(), strict=True) if label >= 0]
    missing = [name for name in asked if name not in right]
    if missing:
        raise RSPNetError(f"{missing[0]}: not tested; a study needs all its videos")
    return np.array([right[name] for name in asked], dtype=np.bool_)
