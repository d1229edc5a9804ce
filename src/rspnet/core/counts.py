"""Numbers of things in words."""

from __future__ import annotations

_HISSING = ("s", "x", "ch", "sh")


def counted(count: int, noun: str) -> str:
    """A number and what is counted: 1 video, 1,200 videos, 0 classes, 2 queries."""
    return f"{count:,} {of_number(count, noun)}"


def of_number(count: int, noun: str) -> str:
    """A regular English noun (its last word) as it stands behind a number."""
    if count == 1:
        return noun
    if noun.endswith(_HISSING):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
