"""What may be wrong with one video: every frame is decoded once, and every finding is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import DecodeError
from rspnet.core.workers import note
from rspnet.video.clips import MAX_REPEATED, repeated_share, tick_frames, true_windows, uniform_windows, window_length
from rspnet.video.probe import is_cut_off, probe_video
from rspnet.video.reader import VideoReader, View, open_video

MENTIONED_SHARE = 0.05
_THUMBNAIL = 64
_CHUNK_FRAMES = 1024
# Levels of 0..255, mean over a thumbnail, that no frame of a still differs from its first one by.
_STATIC_CHANGE = 0.5

KINDS = {
    "unreadable": "no frame can be decoded",
    "no-video": "there is no video stream in it (audio only)",
    "crash": "the decoder crashed or hung on it",
    "cut-off": "the file ends before its own sizes say",
    "damaged": "some frames cannot be decoded",
    "short": "shorter than a training window",
    "uneven": "frames are not evenly spaced in time",
    "repeated": "frames only repeat the one before: a false speed",
    "static": "nothing moves: no speed to see",
    "duplicate": "the same pictures as another video of the list",
    "leak": "the same pictures as a video of the other list",
    "rotated": "turned or mirrored by a display matrix (applied when read)",
    "pixel-format": "not 8 bits with 4:2:0 colours",
    "interlaced": "made of fields",
    "name": "its name cannot be written into a list",
}


@dataclass(frozen=True)
class Finding:
    """One thing found: a kind of `KINDS`, its detail, and whether the video is still fit for pre-training."""

    kind: str
    detail: str
    usable: bool


@dataclass(frozen=True)
class Report:
    """What one video is, and what is wrong with it.

    Attributes:
        name: the record's name.
        path: the file.
        frames: decodable length, 0 where nothing could be read.
        content: a digest of the decoded pictures (thumbnails), the same for the same pictures in any container; "" if
            not every frame could be read.
    """

    name: str
    path: str
    findings: tuple[Finding, ...]
    frames: int = 0
    seconds: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    pixel_format: str = ""
    content: str = ""

    @property
    def is_usable(self) -> bool:
        """Fit for pre-training."""
        return all(finding.usable for finding in self.findings)

    def with_finding(self, kind: str, detail: str, *, usable: bool) -> Report:
        """The report with one more finding."""
        return replace(self, findings=(*self.findings, Finding(kind, detail, usable)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**values, "findings": tuple(Finding(**finding) for finding in values["findings"])})


@dataclass(frozen=True)
class Inspector:
    """Inspects videos for one way of training on them.

    Attributes:
        num_frames: T, frames of a clip.
        speeds: fast speeds of the training.
        fps: rate the training resamples to, or None.
    """

    num_frames: int
    speeds: tuple[int, ...]
    fps: float | None = None

    def __call__(self, item: tuple[str, str]) -> Report:
        """The report on a video, given as (name, path); never raises for what a file holds."""
        note(0)
        name, path = item
        report = Report(name, path, ())
        try:
            if is_cut_off(path):
                report = report.with_finding("cut-off", KINDS["cut-off"], usable=False)
            return self._inspect(report)
        except OSError as error:
            return report.with_finding("unreadable", error.strerror or str(error), usable=False)
        except DecodeError as error:
            kind = "no-video" if "no video stream" in error.why else "unreadable"
            return report.with_finding(kind, error.why, usable=False)

    def _inspect(self, report: Report) -> Report:
        facts = probe_video(report.path)
        with open_video(report.path) as video:
            times = video.times
            report = replace(
                report,
                frames=len(video),
                seconds=round(float(times[-1]), 3),
                width=video.width,
                height=video.height,
                codec=facts.codec,
                pixel_format=facts.pixel_format,
            )
            for kind, detail, usable in self._timing(times):
                report = report.with_finding(kind, detail, usable=usable)
            thumbnails, damage = _thumbnails(video)
        if damage:
            report = report.with_finding("damaged", damage, usable=False)
        else:
            digest = hashlib.blake2b(repr(thumbnails.shape).encode() + thumbnails.tobytes(), digest_size=16)
            report = replace(report, content=digest.hexdigest())
        for kind, detail, usable in _motion(thumbnails):
            report = report.with_finding(kind, detail, usable=usable)
        orientation = facts.orientation
        if orientation is not None and any(orientation):
            mirror = ", then mirrored" if orientation.mirrored else ""
            detail = f"{90 * orientation.quarter_turns} degrees counter-clockwise{mirror}"
            report = report.with_finding("rotated", detail, usable=True)
        if not facts.is_usual_format:
            report = report.with_finding("pixel-format", facts.pixel_format, usable=True)
        if facts.is_interlaced:
            report = report.with_finding("interlaced", KINDS["interlaced"], usable=True)
        return report

    def _timing(self, times: NDArray[np.float64]) -> Iterator[tuple[str, str, bool]]:
        window = window_length(self.num_frames, [1, *self.speeds])
        ticks = len(tick_frames(times, self.fps))
        if ticks < window:
            rate = "" if self.fps is None else f" at {self.fps:g} fps"
            yield "short", f"{ticks} frames{rate}, a window needs {window}", False
            return
        sound = true_windows(times, window, self.fps)
        if not sound.all() or not uniform_windows(times, len(times)).all():
            share = float(sound.mean())
            yield "uneven", f"{share:.0%} of its windows are evenly spaced in time", share > 0


def _thumbnails(video: VideoReader) -> tuple[NDArray[np.uint8], str]:
    """All readable frames, small: uint8 [N, 64, 64, 3], and what is damaged ("" for nothing)."""
    parts: list[NDArray[np.uint8]] = []
    damage: list[str] = []
    for start in range(0, len(video), _CHUNK_FRAMES):
        note(start)
        frames = range(start, min(start + _CHUNK_FRAMES, len(video)))
        try:
            parts += video.read_views([View(frames, size=(_THUMBNAIL, _THUMBNAIL))])
        except DecodeError as error:
            damage.append(error.why)
    return np.concatenate(parts) if parts else np.zeros((0, _THUMBNAIL, _THUMBNAIL, 3), np.uint8), "; ".join(damage[:3])


def _motion(thumbnails: NDArray[np.uint8]) -> Iterator[tuple[str, str, bool]]:
    if len(thumbnails) < 2:
        return
    reach = max(_difference(thumbnails[0], thumbnails[place]) for place in _spread(len(thumbnails)))
    if reach < _STATIC_CHANGE:
        yield "static", f"pictures change by {reach:.2f} of 255 levels", False
        return
    share = repeated_share(thumbnails)
    if share >= MENTIONED_SHARE:
        yield "repeated", f"{share:.0%} of its frames", share < MAX_REPEATED


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _spread(length: int) -> Sequence[int]:
    return np.unique(np.linspace(1, length - 1, 32).astype(int)).tolist()  # type: ignore[no-any-return]


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


def is_listable(path: Path) -> bool:
    """Whether a path survives a text or CSV list: UTF-8, no line ends, no spaces at its ends."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return text == text.strip() and len(text.splitlines()) == 1
