"""Columns of a table of labels that are most likely starts and ends, though they are named otherwise."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import permutations

from rspnet.core.written_tables import as_number

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_START = re.compile(r"(?<![a-z])(start|starttime|begin|onset|from|first|in|t0|t_?min)(?![a-z])")
_END = re.compile(r"(?<![a-z])(stop|end|endtime|offset|until|to|last|out|duration|t1|t_?max)(?![a-z])")
Column = Sequence[float | None]


def unnamed_times(columns: Mapping[str, Sequence[str]], *, delimiter: str) -> tuple[str, str] | None:
    """The names of two columns that look like starts and ends (or durations), None where there are none.

    Their names hold words for both, and both hold numbers, or times of a clock, in the same rows; in each of these the
    end is the larger one.

    Args:
        columns: what stands in each, by name in lower case, row by row; "" where a row has nothing there.
        delimiter: of the table, for decimal commas.
    """
    numbers = {name: column for name, texts in columns.items() if (column := _numbers(texts, delimiter)) is not None}
    for first, second in permutations(numbers, 2):
        starts_and_ends = _START.search(first) and _END.search(second)
        if starts_and_ends and ("duration" in second or _grows(numbers[first], numbers[second])):
            return first, second
    return None


def _numbers(texts: Sequence[str], delimiter: str) -> Column | None:
    """The numbers of a column, seconds for times of a clock; None where it holds anything else or is empty."""
    found = []
    for text in texts:
        try:
            found.append(_number(text, delimiter) if text else None)
        except ValueError:
            return None
    return found if any(number is not None for number in found) else None


def _number(text: str, delimiter: str) -> float:
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        return 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3].replace(",", "."))
    number = as_number(text.removesuffix("s").rstrip(), delimiter=delimiter)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def _grows(first: Column, second: Column) -> bool:
    """Whether both are there in the same rows, and the second is larger in each."""
    return all(
        (one is None) == (other is None) and (one is None or other is None or one < other)
        for one, other in zip(first, second, strict=True)
    )
