"""Labels of moments: reading them, and what they say of windows."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.files import sha256_of
from rspnet.core.urls import as_path, below, is_url
from rspnet.core.written_tables import as_number, delimiter_of, lines_of, table_rows
from rspnet.data.class_numbers import class_numbers
from rspnet.features.unnamed_times import unnamed_times

BACKGROUND = "background"
"""The class of time in which none of the others happens; it makes no events."""
COLUMNS = ("path", "label", "start_s", "end_s", "group")
# What BORIS calls the columns of its aggregated events.
_BORIS = {"Media file name": "path", "Behavior": "label", "Start (s)": "start_s", "Stop (s)": "end_s"}
_LIKE_START = re.compile(r"(start|begin|onset|from)(?![a-z])")
_LIKE_END = re.compile(r"(stop|end|offset|until|to|duration)(?![a-z])")
_ENOUGH = 0.5
_SLACK = 0.1


@dataclass(frozen=True)
class Label:
    """A class in a video, or in a part of it.

    Attributes:
        path: as it was written.
        label: the class.
        start_s: seconds from the video's first frame, 0 where the label is of the whole video.
        end_s: likewise; infinity where the label is of the whole video.
        group: what it belongs to (site, subject, camera); "" where nothing is said.
        where: table and line that it was read from, for errors; "" for none.
    """

    path: str
    label: str
    start_s: float = 0.0
    end_s: float = math.inf
    group: str = ""
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        """What errors call it."""
        return f"{self.where}: " * bool(self.where) + f"label {self.label!r} of {self.path!r}"


def read_labels(file: Path) -> list[Label]:
    """Read a table of labels: UTF-8, with the columns path and label, and start_s, end_s, group.

    Commas, semicolons or tabs separate the columns; with the latter two times may have decimal commas.
    A row without start_s and end_s labels the whole video. Tables of aggregated events as BORIS exports them are read
    as they are.

    Raises:
        RSPNetError: the file cannot be read, lacks a column, a row makes no sense (its line is named), or two classes
            have nearly the same name.
    """
    return read_hashed_labels(file)[0]


def read_hashed_labels(file: Path) -> tuple[list[Label], str]:
    """As `read_labels`, and the SHA-256 of the file; it is read once, so that it may be a pipe."""
    source = f"labels {str(file)!r}"
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RSPNetError(f"cannot read {source}: {reason_of(error)}") from error
    return _labels(text, source), hashlib.sha256(content).hexdigest()


def _labels(text: str, source: str) -> list[Label]:
    if not text:
        raise RSPNetError(f"{source}: the file is empty")
    delimiter = delimiter_of(lines_of(text)[0], ["path", *_BORIS]) or ","
    rows = table_rows(text, delimiter=delimiter, source=source)
    header = _header(next(rows)[1], source=source)
    found, written = [], []
    for line, fields in rows:
        if any(field.strip() for field in fields):
            where = f"{source} line {line}"
            if len(fields) != len(header):
                raise RSPNetError(f"{where}: {len(fields)} fields, the header has {len(header)}")
            row = dict(zip(header, (field.strip() for field in fields), strict=True))
            found.append(_label(row, where, delimiter=delimiter))
            written.append(row)
    if not found:
        raise RSPNetError(f"{source}: no row below the header")
    if not {"start_s", "end_s"} & set(header):
        _refuse_unnamed_times(written, source=source, delimiter=delimiter)
    refuse_near_names({row.label for row in found}, source=source)
    return found


def _header(fields: Sequence[str], *, source: str) -> list[str]:
    """Our names of the columns.

    Raises:
        RSPNetError: one is missing or there twice, or there are times by other names: whole videos would be labelled.
    """
    header = [_BORIS.get(name.strip(), name.strip().lower()) for name in fields]
    for name in ("path", "label"):
        if name not in header:
            raise RSPNetError(f"{source}: no column {name!r}; the header is {', '.join(header)}")
    for name in COLUMNS:
        if header.count(name) > 1:
            raise RSPNetError(f"{source}: two columns {name!r}")
    if "start_s" not in header:
        starts, ends = (list(filter(pattern.match, header)) for pattern in (_LIKE_START, _LIKE_END))
        if starts and ends:
            raise RSPNetError(f"{source}: columns {starts[0]!r}, {ends[0]!r}: call them start_s and end_s, in seconds")
    return header


def _refuse_unnamed_times(rows: Sequence[Mapping[str, str]], *, source: str, delimiter: str) -> None:
    """Raise `RSPNetError` where columns look like times, whatever their names: see `unnamed_times`."""
    others = {name: [row[name] for row in rows] for name in rows[0] if name not in (*COLUMNS, "split")}
    if found := unnamed_times(others, delimiter=delimiter):
        raise RSPNetError(
            f"{source}: no columns start_s and end_s, so each row would label its whole video; are {found[0]!r}, "
            f"{found[1]!r} times? rename them start_s and end_s, in seconds, or remove them"
        )


def refuse_near_names(classes: Collection[str], *, source: str) -> None:
    """Raise `RSPNetError` where two classes (the background is always there) are most likely one by two spellings."""
    class_numbers([*classes, BACKGROUND], source=source)


def _label(row: Mapping[str, str], where: str, *, delimiter: str) -> Label:
    start, end = row.get("start_s", ""), row.get("end_s", "")
    for name in ("path", "label"):
        if not row[name]:
            raise RSPNetError(f"{where}: the {name} is empty")
    if bool(start) != bool(end):
        raise RSPNetError(f"{where}: start_s {start!r}, end_s {end!r}: give both, or neither for the whole video")
    group = row.get("group", "")
    if not start:
        return Label(row["path"], row["label"], group=group, where=where)
    try:
        times = as_number(start, delimiter=delimiter), as_number(end, delimiter=delimiter)
    except ValueError:
        raise RSPNetError(f"{where}: start_s {start!r}, end_s {end!r}: must be seconds") from None
    if times[0] == times[1]:
        raise RSPNetError(
            f"{where}: start_s and end_s are both {start}: a point in time has no length; widen or remove it"
        )
    if not 0 <= times[0] < times[1] < math.inf:
        raise RSPNetError(f"{where}: start_s {start}, end_s {end}: the end must come after the start, from 0 on")
    return Label(row["path"], row["label"], *times, group, where)


def find_paths(
    labels: Sequence[Label], known: Mapping[str, str], *, root: Path, unknown: str = ""
) -> dict[str, list[Label]]:
    """The labels of every video that has features, by the path the features know it by.

    A label means the file of its path (relative to `root`), or else the video whose name or path ends with it. Where
    both are there and are not one file, it is refused: the label is most likely of the first.

    Args:
        labels: of all videos.
        known: path of every video with features -> its name.
        root: the folder of the table of labels.
        unknown: what to say of a video that is not known; by default how it becomes known.

    Raises:
        RSPNetError: a label is of no video with features, or of several, or labels of a video name several groups.
    """
    found: dict[str, list[Label]] = {}
    places: dict[str, str] = {}
    for label in labels:
        if label.path not in places:
            places[label.path] = _known_by(label, known, root=root, unknown=unknown)
        rows = found.setdefault(places[label.path], [])
        if rows and rows[0].group != label.group:
            raise RSPNetError(f"{label}: its group is {label.group!r}, but {rows[0].group!r} in {rows[0]}")
        rows.append(label)
    return found


def _known_by(label: Label, known: Mapping[str, str], *, root: Path, unknown: str) -> str:
    """The path by which the features know a label's video; raises as `find_paths`."""
    path = str(below(root, label.path).absolute())
    here = [path] if is_url(path) else [path, os.path.normpath(path), os.path.realpath(path)]
    for spelled in here:
        if spelled in known:
            return spelled
    ending = "/" + label.path
    fits = [place for place, name in known.items() if name == label.path or place.endswith(ending)]
    if len(fits) != 1:
        ambiguous = fits and f"it may be {fits[0]!r} or {fits[1]!r}"
        raise RSPNetError(f"{label}: {ambiguous or unknown or _without_features(path)}")
    if not unknown and _are_two_files(path, fits[0]):
        raise RSPNetError(f"{label}: {path!r} has no features, and {fits[0]!r}, which has, is another file")
    return fits[0]


def _are_two_files(one: str, other: str) -> bool:
    """Whether both paths are there and name different files; a copy of a file is no other one."""
    if is_url(one) or is_url(other) or not (Path(one).is_file() and Path(other).is_file()):
        return False
    return not (Path(one).samefile(other) or sha256_of(Path(one)) == sha256_of(Path(other)))


def as_spans(labels: Sequence[Label]) -> list[Label]:
    """The labels of a video, those of one class that share a moment joined to one from the first start to the last end:
    a moment that is labelled twice is one event. In the order of their starts."""
    found: list[Label] = []
    for row in sorted(labels, key=lambda row: (row.label, row.start_s)):
        last = found[-1] if found else None
        if last is not None and last.label == row.label and row.start_s < last.end_s:
            found[-1] = replace(last, end_s=max(last.end_s, row.end_s))
        else:
            found.append(row)
    return sorted(found, key=lambda row: row.start_s)


def _without_features(path: str) -> str:
    if as_path(path).exists():
        return "it has no features: embed it first"
    return f"it has no features, and there is no {path!r} (--root names where the paths begin)"


def is_exclusive(labels: Mapping[str, Sequence[Label]], *, window_s: float = 0.0) -> bool:
    """Whether no two classes ever hold at the same moment of a video; see `overlapping`."""
    return overlapping(labels, window_s=window_s) is None


def overlapping(labels: Mapping[str, Sequence[Label]], *, window_s: float = 0.0) -> tuple[Label, Label] | None:
    """The first two labels of different classes that share a moment of a video.

    Args:
        labels: of every video.
        window_s: length of a window: labels that share less than a tenth of it touch, as drawn by hand.
    """
    for rows in labels.values():
        ordered = sorted(rows, key=lambda row: row.start_s)
        for place, row in enumerate(ordered):
            for later in ordered[place + 1 :]:
                common = min(row.end_s, later.end_s) - later.start_s
                if common <= 0:
                    break
                if later.label != row.label and common > _SLACK * window_s:
                    return row, later
    return None


@dataclass(frozen=True)
class Truth:
    """What labels say of the n windows of one video.

    Attributes:
        holds: bool [n, C]: the class holds in the window.
        free: bool [n]: no label touches the window. A window that is neither free nor holds a class is at a border.
        row: int64 [n]: the label with most of the window, -1 where it is free.
    """

    holds: NDArray[np.bool_]
    free: NDArray[np.bool_]
    row: NDArray[np.int64]


def truth_of(
    labels: Sequence[Label],
    names: Sequence[str],
    start_s: NDArray[np.float64],
    end_s: NDArray[np.float64],
    *,
    exclusive: bool,
) -> Truth:
    """Compare windows with labels.

    A class holds in a window that shares at least half with a label of it: half of the shorter one of the two. With
    `exclusive` only the class that shares most holds, and none where two share equally.

    Args:
        labels: of the video.
        names: of the C classes.
        start_s: of the windows: [n].
        end_s: likewise.
        exclusive: see `is_exclusive`.
    """
    shares = np.zeros((len(start_s), len(labels)))
    for number, row in enumerate(labels):
        common = np.minimum(end_s, row.end_s) - np.maximum(start_s, row.start_s)
        shares[:, number] = np.maximum(common, 0) / np.minimum(end_s - start_s, row.end_s - row.start_s)
    of_class = np.zeros((len(start_s), len(names)))
    for number, row in enumerate(labels):
        of_class[:, names.index(row.label)] = np.maximum(of_class[:, names.index(row.label)], shares[:, number])
    holds = of_class >= _ENOUGH
    if exclusive:
        most = of_class.max(axis=1, keepdims=True)
        holds &= (of_class == most) & ((of_class == most).sum(axis=1, keepdims=True) == 1)
    free = np.asarray(~(shares > 0).any(axis=1))
    return Truth(holds, free, np.where(free, -1, shares.argmax(axis=1)).astype(np.int64))
