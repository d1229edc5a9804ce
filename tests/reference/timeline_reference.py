"""Slow twins of rspnet.features.timeline and timeline_scores: a clock of small ticks, recursion, sets."""

from __future__ import annotations

from functools import cache
from itertools import pairwise


def events_by_clock(starts, ends, chances, rule, *, tick=0.01):
    """Events of one class as lists of (start, end), found on a clock of equal ticks (all times whole ticks)."""
    length = round(max(ends) / tick)
    level = [-1.0] * length
    for start, end, chance in zip(starts, ends, chances, strict=True):
        for place in range(round(start / tick), round(end / tick)):
            level[place] = chance
    on = [value >= rule.low for value in level]
    spans = spans_of(on)
    spans = [span for span in spans if any(level[place] >= rule.high for place in range(*span))]
    marked = [any(first <= place < after for first, after in spans) for place in range(length)]
    for (_, gap_first), (gap_after, _) in pairwise(spans):
        if gap_after - gap_first <= round(rule.gap_s / tick):
            marked[gap_first:gap_after] = [True] * (gap_after - gap_first)
    return [(a * tick, b * tick) for a, b in spans_of(marked) if b - a >= round(rule.least_s / tick)]


def spans_of(on):
    found = []
    for place, value in enumerate(on):
        if value and (place == 0 or not on[place - 1]):
            found.append([place, place])
        if value:
            found[-1][1] = place + 1
    return [tuple(span) for span in found]


def counts_by_ticks(predicted, true, overlap, *, tick=0.01):
    """(right, wrong, missed): IoU of sets of ticks, the best true segment of the class for each prediction in turn."""

    def ticks(event):
        return set(range(round(event.start_s / tick), round(event.end_s / tick)))

    free = dict.fromkeys(range(len(true)), True)
    right = 0
    for event in sorted(predicted, key=lambda e: (e.start_s, e.end_s)):
        best, best_share = None, 0.0
        for number, other in enumerate(true):
            if other.label == event.label:
                share = len(ticks(event) & ticks(other)) / len(ticks(event) | ticks(other))
                if share > best_share:
                    best, best_share = number, share
        if best is not None and best_share >= overlap and free[best]:
            free[best] = False
            right += 1
    return right, len(predicted) - right, sum(free.values())


def edit_by_recursion(one, other):
    @cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(
            distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        )

    return 1 - distance(len(one), len(other)) / max(len(one), len(other), 1)
