"""Rewriting many videos for training, in processes that may crash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rspnet.core.cost import CostMeter, sampled
from rspnet.core.heartbeat import note
from rspnet.core.ray_jobs import RayCluster
from rspnet.core.workers import Death, Replace
from rspnet.data.annotations import VideoRecord
from rspnet.data.reading import fault_of_file, read_here_or_on_ray
from rspnet.data.skipped import Skip
from rspnet.video.transcode import Transcoded, transcode_video

_PRELOAD = ("rspnet.video.transcode", "torch")

KEY_EVERY = 16
"""Frames from one key frame to the next at most: a window anywhere is entered within half a second."""
_TRIED_FRAMES = 128
"""Of a video that is transcoded only to tell the cost."""


@dataclass(frozen=True)
class TranscodeJob:
    """Which file is written from which, what users call it, and how many of its frames count (None: all)."""

    source: str
    target: str
    name: str
    most_frames: int | None = None


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
                job.source,
                job.target,
                short_side=self.short_side,
                key_every=self.key_every,
                crf=self.crf,
                most_frames=job.most_frames,
            )
        except Exception as error:
            return Skip(job.name, fault_of_file(error))


def transcode_all(
    jobs: Iterable[TranscodeJob], transcoder: Transcoder, *, workers: int, cluster: RayCluster | None
) -> Iterator[Transcoded | Skip]:
    """What became of the jobs, in their order; on this machine they are drawn lazily."""
    return read_here_or_on_ray(transcoder, jobs, workers=workers, cluster=cluster, give_up=_give_up, preload=_PRELOAD)


def try_transcoding(
    records: Sequence[VideoRecord], transcoder: Transcoder, *, workers: int
) -> tuple[CostMeter, list[Skip], int]:
    """Transcode the start of a few videos for some seconds; nothing stays.

    Args:
        records: all videos to do; what a video costs is taken to grow with its bytes.
        transcoder: how.
        workers: processes.

    Returns:
        A meter of bytes read, whose items are bytes written; the videos that could not be read; how many were tried.
    """
    sizes = {record.name: max(1, record.path.stat().st_size) for record in records}
    meter, bad, tried = CostMeter(sum(sizes.values()), bytes_per_item=1.0), list[Skip](), 0
    with TemporaryDirectory() as place:
        jobs = [
            TranscodeJob(str(record.path), str(Path(place) / f"{number}.mp4"), record.name, _TRIED_FRAMES)
            for number, record in enumerate(sampled(records))
        ]
        results = transcode_all(jobs, transcoder, workers=min(workers, len(jobs)), cluster=None)
        for result in meter.until_sampled(results):
            tried += 1
            if isinstance(result, Skip):
                bad.append(result)
            else:
                meter.add(result.bytes_before, result.bytes_after)
    return meter, bad, tried


def _give_up(job: TranscodeJob, death: Death) -> Replace[Transcoded | Skip]:
    return Replace(Skip(job.name, death.reason))
