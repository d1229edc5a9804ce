"""What the page reads from videos. Decoders are fed strangers' files here, so each call has a process of its own.

A decoder that crashes or hangs costs one answer, never the server: `within_limit` starts a worker from the fork server
of `core.workers` for every call and ends it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from rspnet.core.errors import DecodeError
from rspnet.core.files import atomic_path
from rspnet.core.urls import content_of
from rspnet.data import reading
from rspnet.data.annotations import VideoRecord
from rspnet.data.video_clips import VideoClips
from rspnet.features.roi_maps import Pair
from rspnet.features.window_clips import CutVideo, WindowClips
from rspnet.features.windows import ClipSettings
from rspnet.search.hit_pictures import clips_to_explain
from rspnet.search.hits import Hit
from rspnet.video.reader import VideoReader, View, open_video
from rspnet.video.writer import write_video

Task = TypeVar("Task")
Result = TypeVar("Result")

_LIMIT_SECONDS = 60.0
_SHOWN_SIDE = 240
_SHOWN_FPS = 30.0
_POSTER_SIDE = 120
_STRIP_SIDE, _STRIP_FRAMES = 60, 12
_FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class ClipPart:
    """A part of a video file, in seconds from its first frame."""

    path: Path
    start_s: float
    end_s: float


@dataclass(frozen=True)
class ClipFacts:
    """What is known of a video that could be opened: seconds and pixels."""

    duration_s: float
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class ReadQuery:
    """A query as pixels: uint8 [n * clips, T, S, S, 3], window after window; `content` is the file's SHA-256."""

    video: CutVideo
    clips: NDArray[np.uint8]
    content: str


def within_limit(work: Callable[[Task], Result], task: Task, path: Path) -> Result:
    """`work(task)` in a process of its own, for a user who waits.

    Raises:
        DecodeError: reading `path` crashed it, or it made no progress for a minute.
        RSPNetError: whatever `work` raises.
    """
    return reading.contained(work, task, path, hang_seconds=_LIMIT_SECONDS, preload=["rspnet.search.ui.decoding"])


def warm_up() -> None:
    """Start the fork server, which imports the program, before the first user waits for it."""
    within_limit(str, Path(), Path())


def look_at(path: Path) -> ClipFacts:
    """Open a video and decode its first picture.

    Raises:
        DecodeError: it cannot be read.
    """
    with open_video(path) as video:
        video.frames_at([0])
        return ClipFacts(_duration(video), video.fps, video.width, video.height)


def read_query(task: tuple[ClipPart, ClipSettings]) -> ReadQuery:
    """The clips of a part of a video.

    Raises:
        DecodeError: it cannot be read.
    """
    part, settings = task
    record = VideoRecord(part.path, str(part.path))
    video = VideoClips([record], WindowClips(settings, start_s=part.start_s, end_s=part.end_s))
    clips, facts = [], None
    for sample in video.parts(0):
        if sample.clips is None:
            raise DecodeError(part.path, sample.skip.reason if sample.skip else "no clip in it")
        clips.append(sample.clips.numpy())
        facts = facts or sample.facts
    assert facts is not None
    return ReadQuery(facts, np.concatenate(clips), content_of(part.path))


def read_explained(task: tuple[ClipPart, Hit, ClipSettings]) -> Pair:
    """The clips whose likeness is to be explained; raises as `clips_to_explain`."""
    part, hit, settings = task
    return clips_to_explain(part.path, (part.start_s, part.end_s), hit, settings)


def write_preview(task: tuple[ClipPart, Path]) -> None:
    """Write a part of a video as a small MP4 that any browser plays, without sound.

    Raises:
        DecodeError: a frame of the part cannot be decoded.
        RSPNetError: the file cannot be written.
    """
    part, target = task
    with open_video(part.path) as video:
        times = video.times - video.times[0]
        fps = min(video.fps, _SHOWN_FPS)
        moments = np.arange(part.start_s, min(part.end_s, _duration(video)) - 0.5 / fps, 1 / fps)
        frames = np.searchsorted(times, moments + 0.5 / video.fps, side="right") - 1 if len(moments) else [0]
        shown = np.clip(frames, 0, len(video) - 1).tolist()
        write_video(target, _pictures(video, shown), fps=fps)


def write_poster(task: tuple[Path, Path]) -> None:
    """Write a picture of a video's middle as a JPEG; raises as `write_preview`."""
    source, target = task
    with open_video(source) as video:
        _write_jpeg(target, next(_pictures(video, [len(video) // 2], side=_POSTER_SIDE)))


def write_film_strip(task: tuple[Path, Path]) -> None:
    """Write pictures of a whole video, evenly over its time, side by side as a JPEG; raises as `write_preview`."""
    source, target = task
    with open_video(source) as video:
        places = ((np.arange(_STRIP_FRAMES) + 0.5) * len(video) / _STRIP_FRAMES).astype(int).tolist()
        _write_jpeg(target, np.concatenate(list(_pictures(video, places, side=_STRIP_SIDE)), axis=1))


def _write_jpeg(target: Path, picture: NDArray[np.uint8]) -> None:
    with atomic_path(target) as temporary:
        imsave(temporary, np.ascontiguousarray(picture), format="jpeg", pil_kwargs={"quality": 80})


def _pictures(video: VideoReader, frames: list[int], *, side: int = _SHOWN_SIDE) -> Iterator[NDArray[np.uint8]]:
    scale = min(1.0, side / min(video.height, video.width))
    height, width = (max(2, 2 * round(side * scale / 2)) for side in (video.height, video.width))
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        yield from video.read_views([View(frames[first : first + _FRAMES_AT_ONCE], size=(height, width))])[0]


def _duration(video: VideoReader) -> float:
    return float(video.times[-1] - video.times[0]) + 1 / video.fps
