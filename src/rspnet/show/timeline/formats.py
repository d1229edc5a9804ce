"""Events as other programs read them: a table, WebVTT subtitles, BORIS' aggregated events, ELAN's .eaf."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as Xml

from rspnet.core.files import csv_text
from rspnet.core.urls import is_url
from rspnet.features.timeline import Event

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BORIS = (
    "Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)",
    "Coding duration", "Media duration (s)", "FPS (frame/s)", "Subject",
    "Observation duration by subject by observation", "Behavior", "Behavioral category", "Behavior type", "Start (s)",
    "Stop (s)", "Duration (s)", "Media file name", "Image index start", "Image index stop", "Image file path start",
    "Image file path stop", "Comment start", "Comment stop",
)  # fmt: skip
"""The header of the table that BORIS 8 writes by Observations > Export events > Aggregated events."""
_MIME = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}


@dataclass(frozen=True)
class VideoEvents:
    """A video and what happens in it.

    Attributes:
        name: what it is called.
        path: the file, absolute.
        duration_s: end of its last window.
        fps: average frames a second.
        events: by their start.
    """

    name: str
    path: str
    duration_s: float
    fps: float
    events: Sequence[Event]


def event_rows(videos: Sequence[VideoEvents]) -> list[tuple[str, str, float, float, float]]:
    """(path, label, start_s, end_s, probability) of every event, video after video."""
    return [(video.path, *event) for video in videos for event in video.events]


def as_csv(videos: Sequence[VideoEvents]) -> str:
    """All events as a table that `rspnet classify fit` reads as labels, once they are corrected."""
    rows = [
        (path, label, f"{start:.3f}", f"{end:.3f}", f"{chance:.4f}")
        for path, label, start, end, chance in event_rows(videos)
    ]
    return csv_text([("path", "label", "start_s", "end_s", "probability"), *rows])


def as_boris(videos: Sequence[VideoEvents]) -> str:
    """All events as BORIS exports aggregated events: tab-separated, one state event a row, one observation a video."""
    rows = []
    for video in videos:
        total = sum(event.end_s - event.start_s for event in video.events)
        for event in sorted(video.events, key=lambda one: (one.label, one.start_s)):
            times = (f"{value:.3f}" for value in (event.start_s, event.end_s, event.end_s - event.start_s))
            coded = max(one.end_s for one in video.events) - min(one.start_s for one in video.events)
            rows.append((
                video.name, "NA", "", "Media file", f"player #1:{video.path}", "0.0", f"{coded:.3f}",
                f"{video.duration_s:.3f}", f"{video.fps:.3f}", "No focal subject", f"{total:.3f}", event.label,
                "Not defined", "STATE", *times, video.path, "NA", "NA", "", "", f"probability {event.probability:.3f}",
                "",
            ))  # fmt: skip
    return csv_text([_BORIS, *rows], delimiter="\t")


def as_webvtt(video: VideoEvents) -> str:
    """The events as subtitles (W3C WebVTT): any player shows class and probability while they last."""
    cues = [
        f"{_clock(event.start_s)} --> {_clock(event.end_s)}\n{_cue_text(event.label)} {event.probability:.2f}\n"
        for event in video.events
        if round(event.end_s * 1000) > round(event.start_s * 1000)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def as_elan(video: VideoEvents, *, written: datetime | None = None) -> str:
    """The events as an ELAN annotation document (EAF 3.0): one tier a class, aligned to the video.

    Args:
        video: what to write.
        written: the date in the file; by default now.
    """
    moment = (written or datetime.now(UTC)).isoformat(timespec="seconds")
    root = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "rspnet", "DATE": moment, "FORMAT": "3.0", "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )  # fmt: skip
    header = Xml.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    place = Path(video.path)
    address = video.path if is_url(video.path) else place.as_uri()
    media = {"MEDIA_URL": address, "MIME_TYPE": _MIME.get(place.suffix.lower(), "video/*")}
    Xml.SubElement(header, "MEDIA_DESCRIPTOR", media)
    order = Xml.SubElement(root, "TIME_ORDER")
    slots, numbers = count(1), count(1)
    for label in sorted({event.label for event in video.events}):
        tier = Xml.SubElement(root, "TIER", {"TIER_ID": _plain(label), "LINGUISTIC_TYPE_REF": "default-lt"})
        for event in video.events:
            if event.label == label:
                ends = []
                for seconds in (event.start_s, max(event.end_s, event.start_s + 0.001)):
                    slot = f"ts{next(slots)}"
                    Xml.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(round(seconds * 1000))})
                    ends.append(slot)
                names = {"ANNOTATION_ID": f"a{next(numbers)}", "TIME_SLOT_REF1": ends[0], "TIME_SLOT_REF2": ends[1]}
                one = Xml.SubElement(Xml.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", names)
                Xml.SubElement(one, "ANNOTATION_VALUE").text = f"{_plain(label)} {event.probability:.2f}"
    kind = {"LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    Xml.SubElement(root, "LINGUISTIC_TYPE", kind)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def file_stems(names: Sequence[str]) -> list[str]:
    """A relative path without ending for the files of each video: its name, made harmless and unlike any other's.

    A video next to which no other has its name without the ending keeps that one, so that players find `a.vtt` of
    `a.mp4`; absolute names and those that lead upwards keep their last part only.
    """
    plain = []
    for name in names:
        path = PurePosixPath(name)
        plain.append(path.name if path.is_absolute() or is_url(name) or ".." in path.parts else str(path))
    short = [str(PurePosixPath(name).with_suffix("")) for name in plain]
    times = Counter(short)
    taken: set[str] = set()
    stems = []
    for whole, stem in zip(plain, short, strict=True):
        wanted = stem if times[stem] == 1 else whole
        free = wanted
        for number in count(2):
            if free not in taken:
                break
            free = f"{wanted}-{number}"
        taken.add(free)
        stems.append(free)
    return stems


def _clock(seconds: float) -> str:
    """Seconds as WebVTT writes them: hh:mm:ss.ttt."""
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}.{whole % 1000:03}"


def _cue_text(text: str) -> str:
    flat = " ".join(text.split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> str:
    """Text without what XML does not allow."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
