"""What a classifier got wrong, from the predictions its run left: confusion matrix, confused pairs, worst videos."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.runs.predictions import CONFUSION, read_predictions
from rspnet.show.report.neighbour_sections import Item, video_film
from rspnet.show.report.report_page import PageImage, Part, Players, Section, Table, Text
from rspnet.show.report.run_facts import RunFacts, labelled_records_of

CONFUSION_TITLE, WORST_TITLE = "Confusion", "Worst videos"
_COLUMNS = ("name", "class", "predicted", "best_scores")
_SHOWN = 12
Columns = dict[str, NDArray[Any]]


def recognition_sections(run: RunFacts) -> tuple[Section, Section]:
    """Confusion and worst videos; one line each where the run holds no predictions."""
    file = run.result.get("results", {}).get("predictions")
    if not isinstance(file, str):
        why = "The run left no predictions: it tested no classifier."
        return Section(CONFUSION_TITLE, note=why), Section(WORST_TITLE, note=why)
    try:
        columns = read_predictions(run.folder / file, _COLUMNS)
    except RSPNetError as error:
        return Section(CONFUSION_TITLE, note=str(error)), Section(WORST_TITLE, note=str(error))
    return Section(CONFUSION_TITLE, _confusion(run, columns)), _worst(run, columns)


def _confusion(run: RunFacts, columns: Columns) -> list[Part]:
    wrong = columns["class"] != columns["predicted"]
    parts: list[Part] = [Text(f"Taken for another class: {int(wrong.sum())} of {counted(len(wrong), 'test video')}.")]
    if (run.folder / CONFUSION).exists():
        parts.append(PageImage((run.folder / CONFUSION).read_bytes(), "Rows: true class, scaled to 1"))
    classes = sorted({str(name) for name in columns["class"]})
    rows = []
    for name in classes:
        own = columns["class"] == name
        rows.append((float((columns["predicted"][own] == name).mean()), name, int(own.sum())))
    hardest = [[name, f"{right:.0%}", str(count)] for right, name, count in sorted(rows)[:_SHOWN]]
    parts.append(Table(("class", "right", "test videos"), hardest, "Hardest classes"))
    pairs = Counter((str(a), str(b)) for a, b in zip(columns["class"][wrong], columns["predicted"][wrong], strict=True))
    often = [[true, taken, str(count)] for (true, taken), count in pairs.most_common(_SHOWN)]
    if often:
        parts.append(Table(("true class", "taken for", "videos"), often, "Most frequent confusions"))
    return parts


def _worst(run: RunFacts, columns: Columns) -> Section:
    wrong = np.flatnonzero(columns["class"] != columns["predicted"])
    if not len(wrong):
        return Section(WORST_TITLE, note="Not one test video is taken for another class.")
    sureness = np.array([float(columns["best_scores"][place][0]) for place in wrong])
    chosen = [int(wrong[place]) for place in np.argsort(-sureness, kind="stable")[:_SHOWN]]
    try:
        records = {record.name: record for record in labelled_records_of(run, "test")}
        items = [Item(_record(records, columns, place)) for place in chosen]
    except RSPNetError as error:
        return Section(WORST_TITLE, [_table(columns, chosen)], f"The videos are not where the run read them: {error}")
    films = [
        video_film(item, (*_verdict(columns, place), item.record.name))
        for item, place in zip(items, chosen, strict=True)
    ]
    return Section(WORST_TITLE, [Text("Wrong, and surest of it."), Players(films)])


def _record(records: dict[str, VideoRecord], columns: Columns, place: int) -> VideoRecord:
    name = str(columns["name"][place])
    if name not in records:
        raise RSPNetError(f"{name!r} is not among the test videos any more")
    return records[name]


def _verdict(columns: Columns, place: int) -> tuple[str, str]:
    score = float(columns["best_scores"][place][0])
    return f"is {columns['class'][place]}", f"taken for {columns['predicted'][place]} ({score:.2f})"


def _table(columns: Columns, chosen: list[int]) -> Table:
    rows = [[str(columns["name"][place]), *_verdict(columns, place)] for place in chosen]
    return Table(("video", "true class", "prediction and score"), rows)
