"""The labelled videos of a study: one clips.csv with several labels, split once and for all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.files import csv_text, write_text
from rspnet.core.rng import derive_seed
from rspnet.data.annotations import VideoRecord

LABEL_FILE, TRAIN_LIST = "clips.csv", "train.csv"
VALIDATION_SHARE = 0.2
_FEW_CLASSES = 3
Labels = NDArray[np.int64]
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Task:
    """One question about the videos.

    Attributes:
        classes: class names.
        train: int64 [M], a class for each training video.
        test: int64 [N], -1 for a test video whose class no training video has: it is not asked.
    """

    classes: tuple[str, ...]
    train: Labels
    test: Labels


@dataclass(frozen=True)
class StudySet:
    """Training and test videos, the tasks, and which training videos serve for tuning.

    Attributes:
        train: training videos; pre-training sees these only.
        test: test videos.
        validation: bool [M], a fifth of the training videos of every class of the first task, by their names' hashes.
        tasks: by name.
    """

    train: list[VideoRecord]
    test: list[VideoRecord]
    validation: NDArray[np.bool_]
    tasks: dict[str, Task]

    def hash(self) -> str:
        """SHA-256 of which videos these are, by names, sizes and classes."""
        tasks = {name: [task.classes, task.train.tolist(), task.test.tolist()] for name, task in self.tasks.items()}
        return hash_of([self.train, self.test], tasks)


def hash_of(parts: Sequence[Sequence[VideoRecord]], classes: Any) -> str:
    """SHA-256 of lists of videos, by names and sizes, and of what is said of them."""
    files = [[[item.name, _size(item.path)] for item in part] for part in parts]
    return sha256(json.dumps([files, classes]).encode()).hexdigest()


def _size(path: Path) -> int | None:
    """Of a file, in bytes; one that is not there fails where it is read."""
    return path.stat().st_size if path.exists() else None


def read_study_set(
    root: Path, *, videos: str, labels: dict[str, list[str]], bins: dict[str, int], most: int | None = None
) -> StudySet:
    """The set of `root/clips.csv`, which has a column `split` (train, test) and one for every label.

    Args:
        root: folder of the set.
        videos: column of the video's path below `root`.
        labels: task -> columns that together make its label.
        bins: numeric columns that are cut into this many classes, at quantiles of the training videos.
        most: keep only so many videos of each part, of three classes of the first task.

    Raises:
        RSPNetError: no such file, a column is missing, or a part of the split is empty.
    """
    rows = read_table(
        root / LABEL_FILE, columns=[videos, "split", *(name for names in labels.values() for name in names), *bins]
    )
    parts = [[row for row in rows if row["split"] == split] for split in ("train", "test")]
    if not all(parts):
        raise RSPNetError(f"{str(root / LABEL_FILE)!r}: column split must hold both train and test")
    first = next(iter(labels.values()))
    if most is not None:
        parts = _few_of_each(*parts, columns=first, most=most)
    for column, count in bins.items():
        _bin(column, count, *parts)
    train, test = ([VideoRecord(root / row[videos], row[videos]) for row in part] for part in parts)
    tasks = {
        name: _task(*([_label(row, columns) for row in part] for part in parts)) for name, columns in labels.items()
    }
    return StudySet(train, test, _validation(train, next(iter(tasks.values())).train), tasks)


def write_list(path: Path, records: Sequence[VideoRecord]) -> None:
    """A list of videos for `--data.list`."""
    write_text(path, csv_text([["path"], *([record.name] for record in records)]))


def read_table(path: Path, *, columns: Sequence[str]) -> Rows:
    """The rows of a table of videos and labels.

    Raises:
        RSPNetError: no such file, or a column is missing.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise RSPNetError(
            f"cannot read {str(path)!r}: {reason_of(error)}; the data set is a folder with clips.csv"
        ) from error
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise RSPNetError(f"{str(path)!r} has no column {missing[0]!r}, which the study asks for")
    return rows


def _bin(column: str, count: int, train: Rows, test: Rows) -> None:
    """Replace numbers by the number of their class, in place."""
    for row in [*train, *test]:
        try:
            float(row[column])
        except ValueError:
            raise RSPNetError(f"bins: {row[column]!r} in column {column!r} is no number") from None
    edges = np.quantile([float(row[column]) for row in train], np.arange(1, count) / count)
    for row in [*train, *test]:
        row[column] = str(int(np.searchsorted(edges, float(row[column]), side="right")))


def _label(row: dict[str, str], columns: Sequence[str]) -> str:
    return " / ".join(row[name] for name in columns)


def _few_of_each(*parts: Rows, columns: Sequence[str], most: int) -> list[Rows]:
    """At most `most` rows of each part, evenly of the first classes of the first part."""
    classes = sorted({_label(row, columns) for row in parts[0]})[:_FEW_CLASSES]
    of_class = [[[row for row in part if _label(row, columns) == name] for name in classes] for part in parts]
    return [[row for rows in part for row in _spread(rows, most // len(classes))] for part in of_class]


def _spread(rows: Rows, count: int) -> Rows:
    """Up to `count` rows, evenly over the list."""
    return [rows[place] for place in np.linspace(0, len(rows) - 1, min(count, len(rows)), dtype=int)]


def _validation(records: Sequence[VideoRecord], labels: Labels) -> NDArray[np.bool_]:
    """A fifth of each class that has several videos, at least one."""
    chosen = np.zeros(len(records), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label).tolist()
        members.sort(key=lambda place: derive_seed("validation", records[place].name))
        chosen[members[: math.ceil(VALIDATION_SHARE * len(members)) if len(members) > 1 else 0]] = True
    return chosen


def _task(train: list[str], test: list[str]) -> Task:
    classes = tuple(sorted(set(train)))
    number = {name: place for place, name in enumerate(classes)}
    return Task(
        classes,
        np.array([number[name] for name in train], dtype=np.int64),
        np.array([number.get(name, -1) for name in test], dtype=np.int64),
    )
