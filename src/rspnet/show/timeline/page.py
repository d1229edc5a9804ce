"""One HTML page for the time lines of videos: a coloured strip a video, a click shows the moment.

The page holds no pictures: the player opens the videos where they are, so page and videos stay on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from rspnet.core.files import write_text
from rspnet.core.urls import is_url
from rspnet.show.timeline.formats import VideoEvents

MOST_VIDEOS = 500
"""Strips on a page: a browser shows more, but nobody looks at them."""
COLOURS = ("#2457a6", "#d7301f", "#1a9641", "#e09a06", "#7b3294", "#0b7285", "#c2185b", "#5d4037", "#546e7a")
"""One a class, in turn."""


def write_timeline_page(path: Path, videos: Sequence[VideoEvents], names: Sequence[str], *, title: str) -> None:
    """Write the page.

    Args:
        path: of the .html file.
        videos: the first `MOST_VIDEOS` of them get a strip.
        names: all classes, in the order of their colours.
        title: of the page.
    """
    environment = Environment(
        loader=PackageLoader("rspnet.show", "timeline"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    shown = [
        {
            "name": video.name,
            "source": _source(video.path, path.absolute().parent),
            "duration": video.duration_s,
            "events": [
                {
                    "label": event.label,
                    "start": event.start_s,
                    "end": event.end_s,
                    "left": 100 * event.start_s / max(video.duration_s, 1e-9),
                    "width": 100 * (event.end_s - event.start_s) / max(video.duration_s, 1e-9),
                    "probability": event.probability,
                }
                for event in video.events
            ],
        }
        for video in videos[:MOST_VIDEOS]
    ]
    counts = {name: sum(event.label == name for video in videos for event in video.events) for name in names}
    text = environment.get_template("page.html.j2").render(
        title=title, videos=shown, colours=colours, counts=counts, total=len(videos)
    )
    write_text(path, text)


def _source(video: str, folder: Path) -> str:
    """The address of a video as seen from the page."""
    return video if is_url(video) else quote(os.fsencode(os.path.relpath(video, folder)))
