"""Columns of a table of labels that are most likely starts and ends, though they are named otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations

from rspnet.core.written_tables import as_number

_CLOCK = re.compile(r"\d+(:\d{1,2}){1,3}([.,]\d+)?")
_START = re.compile(
    r"(?<![a-z])"
    r"(start|starttime|begin|onset|t0|t_?min|(t|time|clip)_?(in|from|first)|(in|from|first)_(s|sec|ms|time|frame))(?![a-z])"
)
_END = re.compile(
    r"(?<![a-z])"
    r"(stop|end|endtime|offset|t1|t_?max|(t|time|clip)_?(out|to|until|last)|(out|to|until|last)_(s|sec|ms|time|frame)|"
    r"duration)(?![a-z])"
)


def unnamed_times(columns: Mapping[str, Sequence[str]], *, delimiter: str) -> tuple[str, str] | None:
    """The names of two columns that look like starts and ends (or durations), None where there are none.

    Their names hold words for both, and some row has a number or a time of a clock in both.

    Args:
        columns: what stands in each, by name in lower case, row by row.
        delimiter: of the table, for decimal commas.
    """
    for first, second in permutations(columns, 2):
        if _START.search(first) and _END.search(second):
            rows = zip(columns[first], columns[second], strict=True)
            if any(_is_time(one, delimiter) and _is_time(other, delimiter) for one, other in rows):
                return first, second
    return None


def _is_time(text: str, delimiter: str) -> bool:
    if _CLOCK.fullmatch(text):
        return True
    try:
        return as_number(text.removesuffix("s").rstrip(), delimiter=delimiter) >= 0
    except ValueError:
        return False
