"""Tables that people write or spreadsheets export: columns apart by commas, semicolons or tabs, decimals by locale."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator

from rspnet.core.errors import RSPNetError

_DELIMITERS = ",;\t"


def delimiter_of(header: str, columns: Collection[str]) -> str | None:
    """What separates the columns of a table's first line; None where none of `columns` (any case) stands in it."""
    wanted = {name.lower() for name in columns}
    for mark in _DELIMITERS:
        if wanted & {field.strip().strip('"').lower() for field in header.split(mark)}:
            return mark
    return None


def lines_of(text: str) -> list[str]:
    """The lines of a text as editors count them: other marks, such as U+2028, may stand in a name."""
    return [line.rstrip("\r\n") for line in io.StringIO(text, newline="")]


def table_rows(text: str, *, delimiter: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table, each with the number of its first line; a field in double quotes may hold line breaks.

    Raises:
        RSPNetError: a field is far too long to be one, mostly behind a double quote that is never closed.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    line = 1
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise RSPNetError(f"{source} line {line}: {error} (is a double quote left open?)") from error


def as_number(text: str, *, delimiter: str) -> float:
    """The number that a field holds; where commas do not separate columns, one may separate decimals.

    Raises:
        ValueError: it holds none.
    """
    return float(text if delimiter == "," else text.replace(",", "."))
