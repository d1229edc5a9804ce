"""Columns of a table of labels that are most likely starts and ends, though their names do not say so."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations

from rspnet.core.written_tables import as_number

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_START = re.compile(r"(?<![a-z])(start|begin|onset|from|first|in)(?![a-z])")
_END = re.compile(r"(?<![a-z])(stop|end|offset|until|to|last|out)(?![a-z])")
_ONSET = re.compile(r"(?<![a-z])(start|begin|onset)(?![a-z])")
_LENGTH = re.compile(r"(?<![a-z])(duration|length)(?![a-z])")
# What tables of whole videos have numbers of.
_NO_TIME = re.compile(
    r"age|area|block|bitrate|cam|camera|category|channels|class|classes|clip|confidence|cv|date|day|depth|"
    r"duration|error|fold|folds|frame|group|h|hz|item|kbps|label|labels|lat|latitude|len|length|level|likes|"
    r"lon|longitude|loss|month|n|no|nr|num|order|p|part|participant|person|prob|probability|quality|rank|"
    r"rating|rep|resolution|row|scene|score|seed|session|set|site|speed|split|stimulus|subject|subset|take|"
    r"target|temperature|total|trial|unnamed|version|video|view|views|w|weight|x|y|year|z|"
    r".*(?:count|fps|frames|height|id|ids|idx|index|number|rate|size|width)"
)
Column = Sequence[float | None]


def unnamed_times(columns: Mapping[str, Sequence[str]], *, delimiter: str) -> tuple[str, str] | None:
    """The names of two columns that look like starts and ends, None where there are none.

    Both hold numbers or times of a clock in the same rows, and in each of these the second is the larger one (or the
    names speak of a start and a duration). Columns whose names say something else, as an id, a fold, a size or a rate,
    are passed over; of the others neighbours are taken for such a pair unless all numbers are at most 1, as flags and
    probabilities are. A single column of numbers is never taken for times.

    Args:
        columns: what stands in each, by row; "" where a row has nothing there.
        delimiter: of the table, for decimal commas.
    """
    numbers = {name: column for name, texts in columns.items() if (column := _numbers(texts, delimiter)) is not None}
    for first, second in permutations(numbers, 2):
        if _START.search(first) and _END.search(second) and _grows(numbers[first], numbers[second]):
            return first, second
        if _ONSET.search(first) and _LENGTH.search(second):
            return first, second
    for first, second in pairwise(name for name in numbers if not _is_no_time(name)):
        if _grows(numbers[first], numbers[second]) and max(filter(None, numbers[second])) > 1:
            return first, second
    return None


def _is_no_time(name: str) -> bool:
    """Whether a column's name, in lower case, says that it holds something else; one without a name is an index."""
    words = re.findall(r"[^\W\d_]+", name)
    return not words or any(map(_NO_TIME.fullmatch, words))


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
