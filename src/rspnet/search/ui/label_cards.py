"""The HTML of labelling: the panel of classes, and the strip of a video's time."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Sequence

from rspnet.features.timeline import Event
from rspnet.search.hits import Moment
from rspnet.search.label_log import Labels, Mark
from rspnet.search.ui.cards import escape, seconds
from rspnet.show.timeline.page import COLOURS

_MOST_SEGMENTS = 300


def key_of(moment: Moment) -> str:
    """What a card says it shows, so that a key that comes late never labels another part."""
    return f"{zlib.crc32(moment.path.encode('utf-8', 'surrogateescape')):08x}-{moment.start_s:.3f}-{moment.end_s:.3f}"


def classes_panel(
    labels: Labels,
    cards: Sequence[Sequence[Mark]],
    query: Sequence[Mark] | None,
    *,
    note: str = "",
    downloads: Sequence[tuple[str, str]] = (),
) -> str:
    """Classes with their keys and counts, what is done with them, and (for page.js) which cards have which.

    Args:
        labels: all that hold.
        cards: those of every hit on the page.
        query: those of the query's part; None where it cannot be labelled.
        note: what has just happened.
        downloads: (preview, name of the file).
    """
    counts = Counter(mark.label for mark in labels.marks)
    number = {name: place for place, name in enumerate(labels.classes)}

    def numbers(marks: Sequence[Mark]) -> list[int]:
        return sorted({number[mark.label] for mark in marks})

    state = {
        "classes": list(labels.classes),
        "colours": [colour_of(labels, name) for name in labels.classes],
        "cards": [numbers(marks) for marks in cards],
        "query": None if query is None else numbers(query),
    }
    rows = "".join(
        f"<li style='--class:{colour_of(labels, name)}'><kbd>{place + 1}</kbd><span>{escape(name)}</span>"
        f"<output>{counts[name]}</output></li>"
        for name, place in number.items()
    )
    links = " · ".join(f"<a href='preview/{preview}' download='{name}'>{name}</a>" for preview, name in downloads)
    return (
        f"<section class='classes' data-state='{escape(json.dumps(state))}'><h2>Labels</h2><ol>{rows}</ol>"
        "<form class='new'><input type='text' maxlength='40' placeholder='new class' aria-label='Name of a new class'>"
        "<button type='submit'>Add</button></form>"
        "<div class='do'><button type='button' data-do='train' title='Learn the classes from the labels (key T)'>Train"
        "</button><button type='button' data-do='retract' title='Take the last step back (key U)'>Undo</button></div>"
        f"<p role='status'>{escape(note)}</p><p class='files'>{links}{' · ' if links else ''}"
        "<label tabindex='0'>import<input type='file' accept='.csv,.tsv' aria-label='Import labels: CSV, or "
        "aggregated events of BORIS'></label></p><p class='keys'>Press a number below a hit. By keys: Tab, then 1 to 9 "
        "marks it, arrows go on, U undoes, T trains.</p></section>"
    )


def colour_of(labels: Labels, name: str) -> str:
    """The colour of a class."""
    place = labels.classes.index(name) if name in labels.classes else len(COLOURS) - 1
    return COLOURS[place % len(COLOURS)]


def strip(
    labels: Labels, marks: Sequence[Mark], events: Sequence[Event], part: tuple[float, float], duration_s: float
) -> str:
    """A video's time from left to right: labels above, events of what was trained below, the query's part in a frame.

    Args:
        labels: all, for the colours.
        marks: of this video.
        events: likewise.
        part: start and end of the query.
        duration_s: of the video.
    """
    whole = max(duration_s, 1e-6)
    rows = [
        ("labels", [(mark.label, mark.start_s, mark.end_s, "") for mark in marks]),
        ("found", [(event.label, event.start_s, event.end_s, f", {event.probability:.2f}") for event in events]),
    ]
    bodies = []
    for kind, segments in rows:
        buttons = "".join(
            f"<button type='button' data-do='seek' data-start='{start}' data-end='{end}' "
            f"style='left:{100 * start / whole:.3f}%;width:{100 * (end - start) / whole:.3f}%;"
            f"background:{colour_of(labels, name)}' title='{escape(name)}, {seconds(start)} to {seconds(end)}{more}' "
            f"aria-label='{kind}: {escape(name)}, {seconds(start)} to {seconds(end)}{more}'></button>"
            for name, start, end, more in segments[:_MOST_SEGMENTS]
        )
        bodies.append(f"<div class='row {kind}'><span>{kind}</span><div>{buttons}</div></div>")
    left, width = 100 * part[0] / whole, 100 * (part[1] - part[0]) / whole
    return (
        f"<section class='strip' data-length='{part[1] - part[0]}' data-duration='{duration_s}' aria-label='The video "
        f"in time'>{''.join(bodies)}<div class='row time'><span>time</span><div data-time title='Click: show that "
        f"moment'><i style='left:{left:.3f}%;width:{width:.3f}%'></i></div></div></section>"
    )
