"""Clips of videos without chance: a data set of "which frames and crops of which video", and its one reading path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rspnet.core.workers import Death, Replace
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import Cutter, Layout
from rspnet.data.reading import attempt, check_shared_memory, read_in_workers
from rspnet.data.skipped import Skip
from rspnet.video.reader import VideoReader, open_video


@dataclass(frozen=True)
class EvalSample:
    """The clips of one video, or of a part of it.

    Attributes:
        record: the video; its label is passed through.
        clips: uint8 [n, T, S, S, 3], or None if the video (or this part of it) was skipped or has nothing to read.
        frames: int64 [n, T], the native frames of the clips, or None.
        skip: why there are no clips, or None.
        part: number of this part.
        parts: how many parts the video is read in.
        facts: of the video's `Layout`; with the first part only.
    """

    record: VideoRecord
    clips: Tensor | None
    frames: Tensor | None
    skip: Skip | None
    part: int = 0
    parts: int = 1
    facts: Any = None

    @property
    def is_last(self) -> bool:
        """Whether this is all, or the last part, of its video."""
        return self.part >= self.parts - 1


class VideoClips(Dataset[EvalSample]):
    """The clips that a cutter lays out, of every video of a list.

    Args:
        records: the videos.
        cutter: says which frames and crops of a video are read.
    """

    def __init__(self, records: Sequence[VideoRecord], cutter: Cutter) -> None:
        self.records = list(records)
        self.cutter = cutter

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.records)

    def __getitem__(self, index: int) -> EvalSample:
        """The first part of video `index`: all of it for cutters that make one cut of a video."""
        return next(self.parts(index))

    def parts(self, index: int) -> Iterator[EvalSample]:
        """All parts of video `index` in turn, read in this process."""
        return read_clips(self, num_workers=0, places=[index])

    def max_sample_bytes(self) -> int:
        """Upper bound of a sample's pixels in bytes."""
        return self.cutter.frames_at_once * self.cutter.size**2 * 3


@dataclass(frozen=True)
class PartTask:
    """What a worker is to read: one part of a video, or nothing where an earlier part ended a process (`given_up`)."""

    index: int
    record: VideoRecord
    part: int = 0
    parts: int = 1
    given_up: str = ""


class ClipReader:
    """Reads parts of videos in a worker; a video stays open, with its layout, until another video's part is wanted."""

    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        self._index = -1
        self._video: VideoReader | None = None
        self._layout: Layout | None = None

    def __call__(self, task: PartTask) -> EvalSample:
        """The clips of one part."""
        record, part = task.record, task.part

        def read(video: VideoReader) -> EvalSample:
            if self._layout is None:
                self._layout = self._cutter(video, record)
            cuts, facts = self._layout.cuts, self._layout.facts if part == 0 else None
            if not cuts:
                return EvalSample(record, None, None, None, facts=facts)
            clips = cuts[part].read(video, self._cutter.size)
            return EvalSample(record, clips, torch.from_numpy(cuts[part].frames), None, part, len(cuts), facts)

        if task.given_up:
            return EvalSample(record, None, None, Skip(record.name, task.given_up), part, task.parts)

        @contextmanager
        def opened(path: Path) -> Iterator[VideoReader]:
            yield self._open(task.index, path)

        found = attempt(record, task.index, read, opened=opened)
        if not isinstance(found, Skip):
            return found
        if self._layout is None:
            return EvalSample(record, None, None, found)
        cuts, facts = self._layout.cuts, self._layout.facts if part == 0 else None
        return EvalSample(record, None, None, found, part, len(cuts), facts)

    def _open(self, index: int, path: Path) -> VideoReader:
        if self._video is None or self._index != index:
            self.close()
            self._video, self._index = open_video(path), index
        self._video.forget_damage()
        return self._video

    def close(self) -> None:
        """Let go of the video that is open."""
        if self._video is not None:
            self._video.close()
        self._video, self._layout = None, None


def read_clips(clips: VideoClips, *, num_workers: int, places: Iterable[int] | None = None) -> Iterator[EvalSample]:
    """The clips of videos, part by part in order; a video that cannot be read gives samples with `skip`.

    Args:
        clips: the videos, and what is read of them.
        num_workers: worker processes; 0 reads in this process.
        places: which of the records, in which order; by default all, in their own order.

    Raises:
        RSPNetError: shared memory is short.
    """
    check_shared_memory(clips.max_sample_bytes(), num_workers)
    deadly: dict[int, str] = {}

    def give_up(task: PartTask, death: Death) -> PartTask | Replace[EvalSample]:
        if death.note != task.index:  # it was done; the next one ended the process before the pixels had arrived
            return task
        deadly[task.index] = death.reason
        skip = Skip(task.record.name, death.reason)
        return Replace(EvalSample(task.record, None, None, skip, task.part, task.parts))

    def other_parts(task: PartTask, first: EvalSample) -> Iterator[PartTask]:
        for part in range(1, first.parts):
            yield PartTask(task.index, task.record, part, first.parts, deadly.get(task.index, ""))

    reader = ClipReader(clips.cutter)
    try:
        yield from read_in_workers(
            reader,
            (PartTask(index, clips.records[index]) for index in (range(len(clips)) if places is None else places)),
            workers=num_workers,
            give_up=give_up,
            follow_up=other_parts,
        )
    finally:
        reader.close()
