"""What a long job will cost, from a few seconds of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

import numpy as np

SAMPLE_SECONDS = 5.0
_SAMPLED = 16
_T = TypeVar("_T")


@dataclass(frozen=True)
class Cost:
    """What is left of a job.

    Attributes:
        seconds: of time.
        items: results that come.
        bytes: on disk.
    """

    seconds: float
    items: float
    bytes: float

    def as_text(self, *, what: str, where: str, ranks: int = 1) -> str:
        """One sentence: how long it takes, on what, for how many `what`, and how much disk."""
        several = f" on each of {ranks} ranks" if ranks > 1 else ""
        return f"about {as_time(self.seconds)} on {where}{several}, {self.items:,.0f} {what}, {as_bytes(self.bytes)}"


class CostMeter:
    """Watches a job and says what is left of it; the first item, which pays for every start, is left out of the rate.

    Args:
        total: the whole job in any unit (videos, bytes, steps).
        bytes_per_item: on disk, of one result.
    """

    def __init__(self, total: float, *, bytes_per_item: float) -> None:
        self.total, self.bytes_per_item = total, bytes_per_item
        self.done, self.items = 0.0, 0.0
        self._foretold = False
        self._first: tuple[float, float] | None = None

    def add(self, done: float, items: float) -> None:
        """Some of the job is done and gave some results."""
        self.done += done
        self.items += items
        if self._first is None:
            self._first = perf_counter(), self.done

    @property
    def seconds(self) -> float:
        """Since the first item."""
        return 0.0 if self._first is None else perf_counter() - self._first[0]

    def until_sampled(self, results: Iterable[_T]) -> Iterator[_T]:
        """The results of a trial, until what was added for them is enough to tell; the rest is not asked for."""
        for result in results:
            yield result
            if self._is_sampled:
                return

    @property
    def _is_sampled(self) -> bool:
        return self.seconds > SAMPLE_SECONDS and self.left() is not None

    def foretold(self) -> Cost | None:
        """What is left, once: as soon as enough has been seen to tell; None before and after, and of what soon ends."""
        if self._foretold or not self._is_sampled:
            return None
        self._foretold = True
        left = self.left()
        return None if left is None or left.seconds < SAMPLE_SECONDS else left

    def left(self) -> Cost | None:
        """What is left; None before the second item."""
        return self._cost(max(0.0, self.total - self.done))

    def whole(self) -> Cost | None:
        """What all of it costs; None before the second item."""
        return self._cost(self.total)

    def _cost(self, amount: float) -> Cost | None:
        if self._first is None or self.done <= self._first[1]:
            return None
        rate = self.seconds / (self.done - self._first[1])
        items = self.items / self.done * amount
        return Cost(rate * amount, items, items * self.bytes_per_item)


def cost_in_words(cost: Cost | None, *, what: str, where: str, ranks: int = 1, items: int | None = None) -> str:
    """`Cost.as_text`, or that too few were seen to tell; with `items` in place of a reckoned number of results."""
    if cost is None:
        return "too few to tell the cost"
    known = cost if items is None else replace(cost, items=items)
    return known.as_text(what=what, where=where, ranks=ranks)


def sampled(items: Sequence[_T]) -> list[_T]:
    """A few of the items, from all over the list."""
    places = np.linspace(0, len(items) - 1, min(_SAMPLED, len(items))).round().astype(int).tolist()
    return [items[place] for place in dict.fromkeys(places)]


def as_time(seconds: float) -> str:
    """Seconds in the unit that fits: 40 s, 12 min, 3.5 h, 2.1 days."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.3g} {unit}"
    return f"{max(seconds, 1):.0f} s"


def as_bytes(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{max(1.0, count / 1e3):.0f} kB"
