"""Rows of a list of videos: a table with a header, or one video a line as many programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.written_tables import delimiter_of, lines_of, table_rows
from rspnet.video.reader import VIDEO_SUFFIXES

FORMS = (
    "a table (commas, semicolons or tabs) whose header names a column path, and perhaps label and split; or lines of "
    "`path`, `path label` or `path frames label`"
)
"""What a list may look like, for errors."""

_ENDINGS = "|".join(re.escape(suffix) for suffix in sorted(VIDEO_SUFFIXES))
# The longest beginning that ends like a video (names may hold spaces), and what is written behind it.
_GAP = re.compile(r"[\s,;]+")
_LINE = re.compile(rf"""(["']?)(?P<path>.+(?:{_ENDINGS}))\1(?:\s*[,;\t]\s*|\s+)(?P<rest>\S.*)""", re.IGNORECASE)


class Row(NamedTuple):
    """One video of a list, as it is written there; `split` is None where the list has no such column."""

    line: int
    path: str
    label: str
    split: str | None = None


def read_rows(source: Path) -> list[Row]:
    """The videos that a list names, in its order.

    Raises:
        RSPNetError: the list cannot be read, names no video, or has a malformed line (its number is named).
    """
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise no_list(source) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RSPNetError(f"cannot read video list {str(source)!r}: {reason_of(error)}") from error
    lines = lines_of(text)
    delimiter = delimiter_of(first_line(lines), ["path"])
    rows = list(_text_rows(source, lines) if delimiter is None else _table_rows(source, text, delimiter))
    if not rows:
        raise RSPNetError(f"video list {str(source)!r} names no video")
    return rows


def no_list(source: Path) -> RSPNetError:
    """The error of a list that is not there."""
    return RSPNetError(f"{str(source)!r} does not exist: name a folder or a list of videos")


def first_line(lines: list[str]) -> str:
    """The first line that holds anything, "" where none does."""
    return next((line for line in lines if line.strip()), "")


def _table_rows(source: Path, text: str, delimiter: str) -> Iterator[Row]:
    header: list[str] = []
    for line, fields in table_rows(text, delimiter=delimiter, source=repr(str(source))):
        if not any(field.strip() for field in fields):
            continue
        if not header:
            header = [field.strip().lower() for field in fields]
            continue
        if len(fields) != len(header):
            raise RSPNetError(
                f"{str(source)!r} line {line}: {len(fields)} fields, the header has {len(header)} "
                "(put names with commas in double quotes)"
            )
        row = dict(zip(header, (field.strip() for field in fields), strict=True))
        if not row["path"]:
            raise RSPNetError(f"{str(source)!r} line {line}: the path is empty")
        yield Row(line, row["path"], row.get("label", ""), row.get("split"))


def _text_rows(source: Path, lines: list[str]) -> Iterator[Row]:
    parsed = [
        (number, line.strip(), _parts(line.strip())) for number, line in enumerate(lines, start=1) if line.strip()
    ]
    # `300 wave` is a number of frames and a label where every line has both; else it would be a label of two words.
    framed = [_GAP.split(rest, maxsplit=1) for _, _, (_, rest) in parsed]
    with_frames = all(len(words) == 2 and words[0].isdecimal() for words in framed)
    for (number, line, (path, rest)), words in zip(parsed, framed, strict=True):
        label = words[1] if with_frames else rest
        further = _GAP.split(label)
        if len(further) > 1 and all(word.removeprefix("-").isdecimal() for word in further):
            raise RSPNetError(f"{str(source)!r} line {number}: {line!r} is of no known form; expected {FORMS}")
        yield Row(number, path, label)


def _parts(line: str) -> tuple[str, str]:
    """(path, what is written behind it) of a line; the whole line is a path where nothing in it ends like a video."""
    if Path(line).suffix.lower() in VIDEO_SUFFIXES:
        return line, ""
    found = _LINE.fullmatch(line)
    return (line, "") if found is None else (found["path"].strip(), found["rest"].strip())
