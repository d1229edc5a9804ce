"""Labels of moments that people make while they look: a folder of plain tables that nobody can overwrite.

    labels/
      4f1c...e2.csv      what a running page was given, a line for every step, only ever appended to

A line is (when, action, id, path, label, start_s, end_s). The action is `add`, `remove` (of the label with that id, by
whomever it was added) or `class` (a class exists, with no label yet). Pages that run at the same time write files of
their own, so no step is ever lost; a line that a kill cut off is not one. What holds is what all files say together.
Other tables that lie there, such as labels.csv as the page gives it out, are let alone.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import secrets
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.files import csv_text
from rspnet.core.urls import as_path
from rspnet.features.event_labels import COLUMNS

_FIELDS = ("when", "action", "id", "path", "label", "start_s", "end_s")
_OWN_NAME = re.compile(r"[0-9a-f]{16}\.csv")

_SAME = 0.5


@dataclass(frozen=True)
class Mark:
    """A class in a part of a video: seconds from the video's first frame, in whole milliseconds.

    Attributes:
        path: the video.
        label: the class.
        start_s: where it starts.
        end_s: where it ends.
        id: what its removal names; "" before it is written.
    """

    path: str
    label: str
    start_s: float
    end_s: float
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Labels:
    """What holds: labels by video and start, and the classes in the order in which they came up."""

    marks: tuple[Mark, ...] = ()
    classes: tuple[str, ...] = ()

    def of(self, path: str) -> list[Mark]:
        """The labels of one video."""
        return [mark for mark in self.marks if mark.path == path]

    def at(self, path: str, start_s: float, end_s: float) -> list[Mark]:
        """The labels of this part: those that share at least half of the time that one of the two covers (IoU)."""

        def overlap(mark: Mark) -> float:
            common = min(mark.end_s, end_s) - max(mark.start_s, start_s)
            return common / (max(mark.end_s, end_s) - min(mark.start_s, start_s))

        return [mark for mark in self.of(path) if overlap(mark) >= _SAME]

    def as_csv(self) -> str:
        """The table that `rspnet classify fit` reads."""
        marks = ((mark.path, mark.label, f"{mark.start_s:.3f}", f"{mark.end_s:.3f}") for mark in self.marks)
        return csv_text([COLUMNS[:4], *marks])


class LabelLog:
    """The labels of one folder, and this process's own file there.

    Args:
        folder: made with the first label.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own = self._new_file()
        self._lock = threading.Lock()
        self._read: tuple[object, Labels] = (None, Labels())

    def change(self, add: Sequence[Mark] = (), remove: Iterable[str] = ()) -> tuple[str, ...]:
        """Add labels and remove others, in one step; returns the ids of the added ones.

        A label that comes back after it was removed keeps its id.

        Raises:
            RSPNetError: the folder cannot be written to.
        """
        ids = tuple(mark.id or secrets.token_hex(8) for mark in add)
        rows = [("remove", number, "", "", "", "") for number in remove]
        rows += [
            ("add", number, mark.path, mark.label, f"{mark.start_s:.3f}", f"{mark.end_s:.3f}")
            for number, mark in zip(ids, add, strict=True)
        ]
        self._append(rows)
        return ids

    def add_class(self, name: str) -> None:
        """Let a class exist; raises as `change`."""
        self._append([("class", "", "", name, "", "")])

    def read(self) -> Labels:
        """What holds now, whoever wrote it.

        Raises:
            RSPNetError: the folder is none, or one of these tables cannot be read.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise RSPNetError(f"labels cannot be kept in {str(self.folder)!r}: it is a file; name a folder")
        with self._lock:
            files = sorted(self.folder.glob("*.csv"))
            state = [(file.name, file.stat().st_size) for file in files]
            if state != self._read[0]:
                self._read = state, _held(files)
            return self._read[1]

    def _append(self, rows: Sequence[Sequence[str]]) -> None:
        when = datetime.now(UTC).isoformat(timespec="microseconds")
        with self._lock:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._own.open("ab", buffering=0) as file:
                    header = [_FIELDS] if file.tell() == 0 else []
                    _write_whole(file, csv_text([*header, *((when, *row) for row in rows)]).encode())
            except OSError as error:
                self._own = self._new_file()  # nothing is glued to what a failed write may have left
                raise RSPNetError(f"labels cannot be written to {str(self.folder)!r}: {error.strerror}") from error

    def _new_file(self) -> Path:
        return self.folder / f"{secrets.token_hex(8)}.csv"


def _write_whole(file: FileIO, text: bytes) -> None:
    """Append a text, or leave the file as it was."""
    size = file.tell()
    try:
        left = memoryview(text)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        _cut(file, size)
        raise


def _cut(file: FileIO, size: int) -> None:
    with suppress(OSError):
        file.truncate(size)


def _held(files: Sequence[Path]) -> Labels:
    steps = [step for file in files for step in _steps(file)]
    steps.sort(key=lambda step: step[0])  # stable: steps of one file keep their order
    added: dict[str, Mark] = {}
    classes: dict[str, None] = {}
    for _, action, number, path, label, start, end in steps:
        if action == "remove":
            added.pop(number, None)
            continue
        classes[label] = None
        if action == "add" and float(start) < float(end):  # one of no length, as there once were, labels nothing
            added[number] = Mark(path, label, float(start), float(end), number)
    marks = dict.fromkeys(added.values())  # two people may have said the same
    ordered = sorted(marks, key=lambda mark: (mark.path, mark.start_s, mark.end_s, mark.label))
    return Labels(tuple(ordered), tuple(classes))


def _steps(file: Path) -> list[list[str]]:
    try:
        whole = file.read_bytes().rpartition(b"\n")[0]  # behind the last line end is what a kill cut off
        if not _OWN_NAME.fullmatch(file.name) and not whole.startswith(",".join(_FIELDS).encode()):
            return []
        rows = list(csv.reader(io.StringIO(whole.decode(), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RSPNetError(f"labels {str(file)!r} cannot be read: {reason_of(error)}") from error
    if rows and tuple(rows[0]) != _FIELDS:
        raise RSPNetError(f"{str(file)!r} is no longer a table of labels of this page: move it elsewhere")
    for number, row in enumerate(rows[1:], start=2):
        if fault := _fault_of(row):
            raise RSPNetError(f"labels {str(file)!r} line {number}: {fault}: remove that line")
    return rows[1:]


def _fault_of(row: Sequence[str]) -> str:
    """What is wrong with a line; "" where nothing is."""
    if len(row) != len(_FIELDS):
        return f"{len(row)} fields, not {len(_FIELDS)}"
    if row[1] != "add":
        return ""
    try:
        start, end = float(row[5]), float(row[6])
    except ValueError:
        start = end = math.nan
    return "" if 0 <= start <= end < math.inf else f"from {row[5]!r} to {row[6]!r} is no part of a video"


def _milliseconds(seconds: float) -> float:
    return float(f"{seconds:.3f}")


def part(path: str, label: str, start_s: float, end_s: float) -> Mark:
    """A label of a part of a video, its times in whole milliseconds.

    Raises:
        RSPNetError: nothing is left of the part then.
    """
    mark = Mark(path, label, _milliseconds(start_s), _milliseconds(end_s))
    if not mark.start_s < mark.end_s:
        name, times = as_path(path).name, f"{start_s:g} to {end_s:g} s"
        raise RSPNetError(f"label {label!r} of {name}: from {times} is less than a millisecond; widen or remove it")
    return mark
