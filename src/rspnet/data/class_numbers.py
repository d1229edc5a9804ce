"""Classes as people write them: ids and names alike are names, and are numbered by their order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

from rspnet.core.errors import RSPNetError

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,4})?", re.ASCII)
_SEPARATORS = re.compile(r"[\s_]+|(?<=\w)-(?=\w)")
_SIDES = re.compile(r"left|right|(?:(?:counter|anti)[ -]?)?clockwise")


def class_numbers(names: Iterable[str], *, source: str) -> dict[str, int]:
    """Class name -> number from 0 without holes: first names that are numbers, by value, then others by the alphabet.

    Args:
        names: of classes, repeated or not; an id such as 20231200, -1 or 1.7e12 is a name like any other.
        source: where they come from, for errors.

    Raises:
        RSPNetError: two names that differ only in case, separators or the spelling of a number: most likely one class.
    """
    seen: dict[Decimal | str, str] = {}
    for name in sorted(set(names)):
        other = seen.setdefault(_meaning(name), name)
        if other != name:
            raise RSPNetError(
                f"{source}: classes {other!r} and {name!r} are nearly the same name: make them one, or rename one"
            )
    ordered = sorted(seen.items(), key=lambda item: (isinstance(item[0], str), _order(*item)))
    return {name: number for number, (_, name) in enumerate(ordered)}


def classes_that_mirror(names: Iterable[str]) -> tuple[str, str] | None:
    """Two classes whose names differ by left and right alone, or by the sense of a turn; None where there are none."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_SIDES.sub("<side>", str(_meaning(name))), name)
        if other != name:
            return other, name
    return None


def _meaning(name: str) -> Decimal | str:
    """What stays of a name when the ways to spell it are gone."""
    if _NUMBER.fullmatch(name):
        return Decimal(name)
    return _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()


def _order(meaning: Decimal | str, name: str) -> tuple[Decimal, str]:
    return (Decimal(0), name) if isinstance(meaning, str) else (meaning, name)
