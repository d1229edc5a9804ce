"""Rewriting many videos for training, in processes that may crash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rspnet.core.heartbeat import note
from rspnet.core.ray_jobs import RayCluster
from rspnet.core.workers import Death, Replace
from rspnet.data.reading import fault_of_file, read_here_or_on_ray
from rspnet.data.skipped import Skip
from rspnet.video.transcode import Transcoded, transcode_video

_PRELOAD = ("rspnet.video.transcode", "torch")

KEY_EVERY = 16
"""Frames from one key frame to the next at most: a window anywhere is entered within half a second."""


@dataclass(frozen=True)
class TranscodeJob:
    """Which file is written from which, and what users call it."""

    source: str
    target: str
    name: str


@dataclass(frozen=True)
class Transcoder:
    """Does one job in a worker; see `transcode_video`."""

    short_side: int
    key_every: int
    crf: int

    def __call__(self, job: TranscodeJob) -> Transcoded | Skip:
        """The sizes before and after, or why there is no file."""
        note(0)  # whatever ends this process from here on, opening the file too, is its fault
        try:
            return transcode_video(
                job.source, job.target, short_side=self.short_side, key_every=self.key_every, crf=self.crf
            )
        except Exception as error:
            return Skip(job.name, fault_of_file(error))


def transcode_all(
    jobs: Iterable[TranscodeJob], transcoder: Transcoder, *, workers: int, cluster: RayCluster | None
) -> Iterator[Transcoded | Skip]:
    """What became of the jobs, in their order; on this machine they are drawn lazily."""
    return read_here_or_on_ray(transcoder, jobs, workers=workers, cluster=cluster, give_up=_give_up, preload=_PRELOAD)


def _give_up(job: TranscodeJob, death: Death) -> Replace[Transcoded | Skip]:
    return Replace(Skip(job.name, death.reason))
