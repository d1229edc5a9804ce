"""Tables that people write or spreadsheets export: columns apart by commas, semicolons or tabs, decimals by locale."""

from __future__ import annotations

from collections.abc import Collection

_DELIMITERS = ",;\t"


def delimiter_of(header: str, columns: Collection[str]) -> str | None:
    """What separates the columns of a table's first line; None where none of `columns` (any case) stands in it."""
    wanted = {name.lower() for name in columns}
    for mark in _DELIMITERS:
        if wanted & {field.strip().strip('"').lower() for field in header.split(mark)}:
            return mark
    return None


def as_number(text: str, *, delimiter: str) -> float:
    """The number that a field holds; where commas do not separate columns, one may separate decimals.

    Raises:
        ValueError: it holds none.
    """
    return float(text if delimiter == "," else text.replace(",", "."))
