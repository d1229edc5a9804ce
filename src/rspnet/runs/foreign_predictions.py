"""Predictions of other programs, for `rspnet compare`: a CSV with a row for every test video."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rspnet.core.console import PlainConsole
from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.progress import print_note
from rspnet.core.written_tables import as_number, delimiter_of
from rspnet.data.class_numbers import class_numbers
from rspnet.features.scores import Interval, score_table, top_k_hits

_BOOKKEEPING = frozenset(
    {"", "fold", "split", "id", "frames", "num_frames", "fps", "duration", "index", "group", "width", "height"}
)
"""Names of columns that mostly say something of the video: as a class they would take the votes of others."""
FORM = "a CSV with the columns video and label, and either prediction or a column of scores for every class"


@dataclass(frozen=True)
class Foreign:
    """What a file of predictions says.

    Attributes:
        scores: top1 and mean_class_accuracy with intervals, and top5 where the file has scores.
        hits: name of a score -> video -> whether it is right.
        classes: video -> its true class.
    """

    scores: Mapping[str, Interval]
    hits: Mapping[str, Mapping[str, bool]]
    classes: Mapping[str, str]


def read_foreign(file: Path) -> Foreign:
    """Read predictions of another program.

    Columns: `video`, its name; `label`, its true class; then `prediction`, the class that was predicted, or for every
    class a column of its name with the score of the class (the greater, the likelier).

    Raises:
        RSPNetError: the file cannot be read, or has another form (the line is named), or two classes have nearly the
            same name, or a column such as fold is no class of its videos.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        delimiter = delimiter_of(text.partition("\n")[0], ["video"]) or ","
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns, rows = list(table.fieldnames or ()), list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RSPNetError(f"cannot read predictions {str(file)!r}: {reason_of(error)}") from error
    if not {"video", "label"} < set(columns) or not rows:
        raise RSPNetError(f"{str(file)!r}: must be {FORM}")
    videos = [row["video"] for row in rows]
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values() or row["video"] in seen:
            raise RSPNetError(f"{str(file)!r} line {line}: a row of other length, or a video that was there before")
        for name in ("label", "prediction"):
            if name in row and not row[name].strip():
                raise RSPNetError(f"{str(file)!r} line {line}: no {name}; fill it in, or leave the row out")
        seen.add(row["video"])
    if "prediction" in columns:
        class_numbers((row[name] for row in rows for name in ("label", "prediction")), source=repr(str(file)))
        return _of_predictions(videos, [row["label"] for row in rows], [row["prediction"] for row in rows])
    names = [name for name in columns if name not in ("video", "label")]
    _refuse_no_class(file, names, {row["label"] for row in rows})
    return _of_scores(file, videos, rows, names, delimiter=delimiter)


def _refuse_no_class(file: Path, names: Sequence[str], labels: Collection[str]) -> None:
    """Raise where a column of scores looks like none; a note where a class is that of no video."""
    unused = [name for name in names if name not in labels]
    for name in unused:
        if name.strip().lower() in _BOOKKEEPING:
            raise RSPNetError(f"{str(file)!r}: column {name!r} is no class of its videos: take it out")
    if unused:
        listed = ", ".join(repr(name) for name in unused[:5]) + ", ..." * (len(unused) > 5)
        print_note(PlainConsole(stderr=True), f"{str(file)!r}: no video is of {listed}; counted as scores of a class")


def _of_predictions(videos: Sequence[str], labels: Sequence[str], predicted: Sequence[str]) -> Foreign:
    names = sorted({*labels, *predicted})
    number = {name: place for place, name in enumerate(names)}
    scores = np.zeros((len(videos), len(names)))
    scores[np.arange(len(videos)), [number[name] for name in predicted]] = 1
    table = score_table(scores, np.array([number[name] for name in labels], dtype=np.int64), seed=0)
    right = dict(zip(videos, (a == b for a, b in zip(labels, predicted, strict=True)), strict=True))
    known = {name: row for name, row in table.items() if name != "top5"}
    return Foreign(known, {"top1": right}, dict(zip(videos, labels, strict=True)))


def _of_scores(
    file: Path, videos: Sequence[str], rows: Sequence[Mapping[str, str]], names: Sequence[str], *, delimiter: str
) -> Foreign:
    scores = np.empty((len(rows), len(names)))
    labels = np.empty(len(rows), dtype=np.int64)
    for place, row in enumerate(rows):
        try:
            scores[place] = [as_number(row[name], delimiter=delimiter) for name in names]
            labels[place] = names.index(row["label"])
        except ValueError as error:
            raise RSPNetError(
                f"{str(file)!r} line {place + 2}: a score that is no number, or a label without a column ({error})"
            ) from error
    if not np.isfinite(scores).all():
        raise RSPNetError(f"{str(file)!r}: scores must be finite numbers")
    hits = {f"top{k}": dict(zip(videos, top_k_hits(scores, labels, k).tolist(), strict=True)) for k in (1, 5)}
    classes = dict(zip(videos, (row["label"] for row in rows), strict=True))
    return Foreign(score_table(scores, labels, seed=0), hits, classes)
