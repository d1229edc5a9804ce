"""Windows of files that are not stored yet, and evenly spaced clips as windows with times."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from rspnet.core.urls import content_of
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import EvenClips, Layout
from rspnet.features.window_clips import CutVideo, WindowClips
from rspnet.video.reader import VideoReader


@dataclass(frozen=True)
class EvenWindows:
    """Evenly spaced clips of whole videos, as windows with times; the layout's facts are its `CutVideo`.

    Attributes:
        even: the clips.
        whole: one window for the whole video, of all its clips; or one a clip, from its first frame to its last.
    """

    even: EvenClips
    whole: bool

    @property
    def size(self) -> int:
        """S, height and width of the clips in pixels."""
        return self.even.size

    @property
    def frames_at_once(self) -> int:
        """Frames of all clips."""
        return self.even.frames_at_once

    def __call__(self, video: VideoReader, record: VideoRecord, /) -> Layout:
        """All clips in one cut."""
        layout = self.even(video, record)
        times = video.times - video.times[0]
        duration = float(times[-1]) + 1 / video.fps
        frames, ends = layout.cuts[0].frames, np.append(times, duration)
        starts = np.zeros(1) if self.whole else times[frames.min(axis=1)]
        stops = np.full(1, duration) if self.whole else ends[frames.max(axis=1) + 1]
        return Layout(layout.cuts, CutVideo(starts, stops, duration, video.fps, video.width, video.height))


@dataclass(frozen=True)
class ReadFile:
    """What a worker learns of a file whose windows it reads.

    Attributes:
        content: SHA-256 of the file.
        video: all its windows.
        pieces: the windows of each part that is read, as (first, after the last).
    """

    content: str
    video: CutVideo
    pieces: Sequence[tuple[int, int]]


def parts_left(layout: Layout, content: str, *, clips: int, stored: Container[int]) -> Layout:
    """The parts of a file with a window that is not stored; the facts are a `ReadFile`.

    Args:
        layout: all windows of the file; its facts are a `CutVideo`.
        content: SHA-256 of the file.
        clips: clips of a window.
        stored: windows that are stored.
    """
    pieces = list(pairwise(accumulate((len(cut.frames) // clips for cut in layout.cuts), initial=0)))
    left = [place for place, piece in enumerate(pieces) if not all(window in stored for window in range(*piece))]
    facts = ReadFile(content, layout.facts, [pieces[place] for place in left])
    return Layout([layout.cuts[place] for place in left], facts)


@dataclass(frozen=True)
class MissingWindows:
    """The windows of files that are not stored yet; the layout's facts are a `ReadFile`.

    Attributes:
        base: lays out all windows; its facts are a `CutVideo`.
        clips: clips of a window.
        stored: windows that are stored, by the record's name; a part is left out where all of its windows are.
    """

    base: WindowClips | EvenWindows
    clips: int
    stored: Mapping[str, frozenset[int]]

    @property
    def size(self) -> int:
        """S, height and width of the clips in pixels."""
        return self.base.size

    @property
    def frames_at_once(self) -> int:
        """Frames of the clips of a part."""
        return self.base.frames_at_once

    def __call__(self, video: VideoReader, record: VideoRecord, /) -> Layout:
        """The parts that are to be read."""
        layout, content = self.base(video, record), content_of(record.path)
        return parts_left(layout, content, clips=self.clips, stored=self.stored.get(record.name, ()))
