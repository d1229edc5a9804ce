"""Videos that hold the same pictures, or nearly: within one list, and between two (leakage)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rspnet.data.checks.inspection import Report
from rspnet.data.checks.looks import vectors

_BLOCK = 2048


def find_shared(reports: Sequence[Report], others: Sequence[Report]) -> list[Report]:
    """The reports with duplicates among them, and with what they share with `others`, added as findings."""
    elsewhere = {other.content: other.name for other in others if other.content}
    kept: dict[str, str] = {}
    for report in sorted(reports, key=lambda report: not report.is_usable):  # the first usable one is kept
        kept.setdefault(report.content, report.name)
    found = []
    for report in reports:
        if report.content in elsewhere:
            report = report.with_finding("leak", f"as {elsewhere[report.content]!r}", usable=False)
        if report.content and kept[report.content] != report.name:
            report = report.with_finding("duplicate", f"of {kept[report.content]!r}", usable=False)
        found.append(report)
    return found


def find_near(reports: Sequence[Report], others: Sequence[Report], *, similarity: float) -> list[Report]:
    """The reports with videos that look alike throughout (recoded, resized, trimmed a little) added as findings.

    Both what stands still in two videos and how their pictures change over their length must be so alike. Equal
    pictures are `find_shared`'s; a still has nothing that changes and is like no other.

    Args:
        reports: of one list.
        others: of the list that it must not share videos with.
        similarity: least cosine, 0 to 1.
    """
    near: dict[int, list[tuple[str, str]]] = {}
    together = [*reports, *others]
    for first, second, cosine in _pairs(together, similarity):
        if together[first].content == together[second].content != "":
            continue
        if second < len(reports):
            near.setdefault(second, []).append(("near-duplicate", f"of {together[first].name!r} ({cosine:.2f})"))
        elif first < len(reports):
            near.setdefault(first, []).append(("near-leak", f"as {together[second].name!r} ({cosine:.2f})"))
    found = []
    for place, report in enumerate(reports):
        for kind, detail in near.get(place, []):
            report = report.with_finding(kind, detail, usable=True)
        found.append(report)
    return found


def _pairs(reports: Sequence[Report], similarity: float) -> Iterator[tuple[int, int, float]]:
    """Places i < j of like reports and their cosine."""
    places = [place for place, report in enumerate(reports) if report.fingerprint]
    if not places:
        return
    still, moving = vectors([reports[place].fingerprint for place in places])
    for start in range(0, len(places), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosines = np.minimum(still[block] @ still.T, moving[block] @ moving.T)
        for row, column in np.argwhere(cosines >= similarity):
            if start + row < column:
                yield places[start + row], places[column], float(cosines[row, column])
