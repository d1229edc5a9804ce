"""From probabilities of overlapping windows to events on a time line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
Probabilities = NDArray[np.float64]
_ROUNDING = 1e-6


class Event(NamedTuple):
    """A class from one second to another, and how likely it is (the mean over its windows; 1 for a label)."""

    label: str
    start_s: float
    end_s: float
    probability: float = 1.0


@dataclass(frozen=True)
class Rule:
    """How the probabilities of one class become its events.

    Attributes:
        high: an event reaches this probability somewhere ...
        low: ... and goes on as long as it is at least this.
        gap_s: events that are no further apart become one.
        least_s: shorter ones (after that) are dropped.
    """

    high: float = 0.5
    low: float = 0.5
    gap_s: float = 0.0
    least_s: float = 0.0


def cells(start_s: Seconds, end_s: Seconds) -> tuple[Seconds, Seconds]:
    """The stretch of time that each of some overlapping windows speaks for: (from, to), float64 [n] each.

    Borders lie halfway between the middles of windows that follow one another; no stretch leaves its own window, so
    a pause without frames belongs to none.

    Args:
        start_s: of the windows of one video, ascending: [n], n >= 1.
        end_s: likewise.
    """
    middles = (start_s + end_s) / 2
    borders = (middles[1:] + middles[:-1]) / 2
    return (
        np.concatenate([start_s[:1], np.maximum(start_s[1:], np.minimum(borders, end_s[1:]))]),
        np.concatenate([np.minimum(end_s[:-1], np.maximum(borders, start_s[:-1])), end_s[-1:]]),
    )


def events_of(label: str, starts: Seconds, ends: Seconds, chances: Probabilities, rule: Rule) -> list[Event]:
    """The events of one class in one video: hysteresis, then closing of gaps, then the least length.

    Args:
        label: the class.
        starts: of the stretches (see `cells`), ascending: [n].
        ends: likewise.
        chances: probability of the class in each: [n].
        rule: how.
    """
    events = []
    for first, after in event_places(streaks_of(starts, ends, chances, rule.low), rule):
        lengths = np.maximum(ends[first:after] - starts[first:after], 1e-12)
        mean = float(np.average(chances[first:after], weights=lengths))
        events.append(Event(label, float(starts[first]), float(ends[after - 1]), mean))
    return events


class Streak(NamedTuple):
    """Stretches that touch one another: first and behind-last place, from when to when, and the greatest chance."""

    first: int
    after: int
    start_s: float
    end_s: float
    peak: float


def streaks_of(starts: Seconds, ends: Seconds, chances: Probabilities, low: float) -> list[Streak]:
    """The longest streaks of stretches that touch one another and have a chance of at least `low`."""
    found: list[tuple[int, int]] = []
    apart = np.append(starts[1:] - ends[:-1] > _ROUNDING, True)
    changes = np.diff(np.concatenate([[False], chances >= low, [False]]).astype(np.int8))
    for first, after in zip(*(np.flatnonzero(changes == sign).tolist() for sign in (1, -1)), strict=True):
        cuts = (first + 1 + np.flatnonzero(apart[first : after - 1])).tolist()
        found += zip([first, *cuts], [*cuts, after], strict=True)
    return [Streak(a, b, float(starts[a]), float(ends[b - 1]), float(chances[a:b].max())) for a, b in found]


def event_places(streaks: Sequence[Streak], rule: Rule) -> list[tuple[int, int]]:
    """First and behind-last stretches of a rule's events, from the streaks at its `low`."""
    found: list[Streak] = []
    for streak in streaks:
        if streak.peak < rule.high:
            continue
        if found and streak.start_s - found[-1].end_s <= rule.gap_s + _ROUNDING:
            before = found.pop()
            found.append(Streak(before.first, streak.after, before.start_s, streak.end_s, streak.peak))
        else:
            found.append(streak)
    return [(one.first, one.after) for one in found if one.end_s - one.start_s >= rule.least_s - _ROUNDING]


def timeline(
    names: Sequence[str], start_s: Seconds, end_s: Seconds, chances: Probabilities, rules: Sequence[Rule]
) -> list[Event]:
    """The events of all classes of one video, by their start.

    Args:
        names: of the C classes.
        start_s: of the windows, ascending: [n].
        end_s: likewise.
        chances: [n, C].
        rules: one a class.
    """
    starts, ends = cells(start_s, end_s)
    found = [
        event
        for number, (name, rule) in enumerate(zip(names, rules, strict=True))
        for event in events_of(name, starts, ends, chances[:, number], rule)
    ]
    return sorted(found, key=lambda event: (event.start_s, event.end_s, event.label))
