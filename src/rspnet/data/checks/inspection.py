"""What may be wrong with one video: every frame is decoded once, and every finding is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.core.heartbeat import note
from rspnet.data.annotations import VideoRecord
from rspnet.data.checks.looks import THUMBNAIL, Looks
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.presets import AugmentPreset
from rspnet.data.reading import fault_of_file
from rspnet.data.sampler import PairRequest
from rspnet.video.clips import tick_frames, true_windows, uniform_windows, window_length
from rspnet.video.probe import Probe, is_cut_off, probe_video
from rspnet.video.reader import VideoReader, View, open_video

MENTIONED_SHARE = 0.05
_CHUNK_FRAMES = 1024
# Mean levels of 0..255 that every picture of a still keeps within of its first one.
_STATIC_CHANGE = 0.5
# Samples asked for, one of each epoch, before a video is called one that pre-training skips.
_TRIES = 6

KINDS = {
    "unreadable": "no frame can be decoded",
    "no-video": "there is no video stream in it (audio only)",
    "crash": "the decoder crashed or hung on it",
    "cut-off": "the file ends before its own sizes say",
    "damaged": "some frames cannot be decoded",
    "short": "shorter than a training window",
    "uneven": "frames are not evenly spaced in time",
    "repeated": "frames only repeat the previous frame: a false speed",
    "static": "nothing moves: no speed to see",
    "duplicate": "the same pictures as another video of the list",
    "leak": "the same pictures as a video of the other list",
    "near-duplicate": "looks like another video of the list",
    "near-leak": "looks like a video of the other list",
    "packed": "two pictures in one chunk, as DivX and XviD packed them (taken apart when read)",
    "streams": "several video streams, of which one is read",
    "joined": "several recordings in one file, whose clocks start again at 0 (no window lies across)",
    "stretched": "pixels are not square (made square when read)",
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
        fingerprint: for `data.checks.looks.vectors`, "" as above.
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
    fingerprint: str = ""
    fps: float = 0.0

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
    """Inspects videos for one way of pre-training on them.

    Attributes:
        num_frames: T, frames of a clip; None where no pre-training is planned.
        speeds: fast speeds of the pre-training.
        fps: rate that it resamples to, or None.
        base_speed: its slow speed.
    """

    num_frames: int | None = None
    speeds: tuple[int, ...] = (2,)
    fps: float | None = None
    base_speed: int = 1

    def __call__(self, item: tuple[str, str]) -> Report:
        """The report on a video, given as (name, path); never raises for what a file holds."""
        note(0)
        name, path = item
        report = Report(name, path, ())
        try:
            if is_cut_off(path):
                report = report.with_finding("cut-off", KINDS["cut-off"], usable=False)
            return self._inspect(report)
        except Exception as error:
            why = fault_of_file(error)
            return report.with_finding("no-video" if "no video stream" in why else "unreadable", why, usable=False)

    def _inspect(self, report: Report) -> Report:
        facts = probe_video(report.path)
        with open_video(report.path) as video:
            times = video.times
            report = replace(
                report,
                frames=len(video),
                seconds=round(float(times[-1]), 3),
                fps=video.fps,
                width=video.width,
                height=video.height,
                codec=facts.codec,
                pixel_format=facts.pixel_format,
            )
            for kind, detail, usable in self._timing(times):
                report = report.with_finding(kind, detail, usable=usable)
            looks, damage = _look(video)
            if damage:
                report = report.with_finding("damaged", damage, usable=False)
            else:
                report = replace(report, content=looks.digest, fingerprint=looks.fingerprint)
            for kind, detail, usable in self._motion(video, looks, is_usable=report.is_usable):
                report = report.with_finding(kind, detail, usable=usable)
        for kind, detail in _traits(facts, video):
            report = report.with_finding(kind, detail, usable=True)
        return report

    def _timing(self, times: NDArray[np.float64]) -> Iterator[tuple[str, str, bool]]:
        if self.num_frames is None:
            return
        window = window_length(self.num_frames, [1, *self.speeds])
        ticks = len(tick_frames(times, self.fps))
        if ticks < window:
            rate = "" if self.fps is None else f" at {self.fps:g} fps"
            yield "short", f"{counted(ticks, 'frame')}{rate}, a window needs {window}", False
            return
        sound = true_windows(times, window, self.fps)
        if not sound.all() or not uniform_windows(times, len(times)).all():
            share = float(sound.mean())
            yield "uneven", f"{share:.0%} of its windows are evenly spaced in time", share > 0

    def _motion(self, video: VideoReader, looks: Looks, *, is_usable: bool) -> Iterator[tuple[str, str, bool]]:
        if len(looks) < 2:
            return
        if looks.reach < _STATIC_CHANGE:
            yield "static", f"pictures change by {looks.reach:.2f} of 255 levels", False
            return
        refused = self._refused(video, looks.repeated >= MENTIONED_SHARE) if is_usable else ""
        if refused or looks.repeated >= MENTIONED_SHARE:
            where = f"; pre-training: {refused}" if refused else ""
            yield "repeated", f"{looks.repeated:.0%} of its frames{where}", not refused

    def _refused(self, video: VideoReader, some_repeat: bool) -> str:
        """Why pre-training skips the video, "" where it does not: its own code is asked for samples of some epochs.

        It is to take half of them: the first where no frame seems to repeat another.
        """
        if self.num_frames is None:
            return ""
        size, preset = THUMBNAIL, AugmentPreset()
        record = VideoRecord(video.path, video.path.name)
        clips = ClipPairDataset(
            [record], num_frames=self.num_frames, speeds=self.speeds, size=size, preset=preset, seed=0, fps=self.fps
        )
        refusals: list[str] = []
        for epoch in range(_TRIES):
            try:
                clips.sample_of(video, PairRequest(0, epoch, max(self.speeds), self.base_speed))
            except RSPNetError as error:
                refusals.append(str(error))
            else:
                if epoch == 0 and not some_repeat:
                    break
        return refusals[0] if len(refusals) > _TRIES / 2 else ""


def _look(video: VideoReader) -> tuple[Looks, str]:
    """What all readable frames look like, and what is damaged ("" for nothing)."""
    looks = Looks()
    damage: list[str] = []
    for start in range(0, len(video), _CHUNK_FRAMES):
        note(start)
        frames = range(start, min(start + _CHUNK_FRAMES, len(video)))
        try:
            looks.add(video.read_views([View(frames, size=(THUMBNAIL, THUMBNAIL))])[0])
        except DecodeError as error:
            damage.append(error.why)
    return looks, "; ".join(damage[:3])


def _traits(facts: Probe, video: VideoReader) -> Iterator[tuple[str, str]]:
    """What is unusual about a file and is seen to when it is read."""
    if video.is_packed:
        yield "packed", KINDS["packed"]
    if facts.streams > 1:
        yield "streams", f"{facts.streams} video streams; number {facts.stream} of the file is read"
    if video.joints:
        yield "joined", f"another recording starts with frame {', '.join(map(str, video.joints[:3]))}"
    if facts.pixel_aspect != 1:
        yield "stretched", f"pixels are {facts.pixel_aspect.numerator}:{facts.pixel_aspect.denominator}"
    orientation = facts.orientation
    if orientation is not None and any(orientation):
        mirror = ", then mirrored" if orientation.mirrored else ""
        yield "rotated", f"{90 * orientation.quarter_turns} degrees counter-clockwise{mirror}"
    if not facts.is_usual_format:
        yield "pixel-format", facts.pixel_format
    if facts.is_interlaced:
        yield "interlaced", KINDS["interlaced"]


def is_listable(text: str) -> bool:
    """Whether a path survives a text or CSV list: UTF-8, no line ends, no spaces at its ends."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return text == text.strip() and len(text.splitlines()) == 1
