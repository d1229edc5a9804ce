"""Which videos, at which speeds, in which order: a stream of batches that depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.rng import numpy_rng


@dataclass(frozen=True)
class PairRequest:
    """One sample to make.

    Attributes:
        index: the video's place in the list of records.
        epoch: pass over the videos that this is part of; a part of the sample's seed.
        speed: v, the speed of the query clip and of the positive key clip.
        other_speed: w, the speed of the negative key clip.
        repeat: which of the epoch's `clips_per_video` samples of this video this is; a part of the sample's seed.
    """

    index: int
    epoch: int
    speed: int
    other_speed: int
    repeat: int = 0


class PairSampler:
    """One rank's batches from `start_step` to `total_steps`, straight through all epochs.

    The order of an epoch is a function of (seed, epoch); the last incomplete batch is dropped. A random half of each
    global batch plays at the base speed and the other half at a speed s, drawn once a batch from `speeds`, both
    functions of (seed, step) (METHOD: steps 1 and 2). Rank r takes the r-th slice of each global batch, so all ranks'
    slices put together do not depend on how many ranks there are, and a resume continues the very same stream.

    Args:
        num_videos: videos in the data set.
        batch_size: samples of one step over all ranks together.
        seed: the run's seed.
        speeds: fast speeds (each above the base speed) to draw one from for every batch.
        total_steps: step to stop before.
        start_step: first step to give, for a resume.
        clips_per_video: samples of each video in one epoch; the epoch is that many shuffled passes in a row.
        base_speed: the slow speed that the fast ones are set against, 1 in the paper.
        rank: this process's number.
        world_size: number of processes.

    Raises:
        ConfigError: a batch that is larger than an epoch or not a multiple of `world_size`, or a fast speed that is not
            above the base speed.
    """

    def __init__(
        self,
        num_videos: int,
        *,
        batch_size: int,
        seed: int,
        speeds: Sequence[int],
        total_steps: int,
        start_step: int = 0,
        clips_per_video: int = 1,
        base_speed: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check(num_videos, batch_size, clips_per_video, world_size, (base_speed, *speeds))
        self.num_videos = num_videos
        self.batch_size = batch_size
        self.seed = seed
        self.speeds, self.base_speed = tuple(speeds), base_speed
        self.total_steps = total_steps
        self.start_step = start_step
        self.clips_per_video = clips_per_video
        self.rank = rank
        self.world_size = world_size
        self._known: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, dtype=np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Whole global batches in one epoch."""
        return epoch_steps(self.num_videos, self.batch_size, clips_per_video=self.clips_per_video)

    def __len__(self) -> int:
        """Batches this sampler gives: from `start_step` to `total_steps`."""
        return max(0, self.total_steps - self.start_step)

    def __iter__(self) -> Iterator[list[PairRequest]]:
        """This rank's requests, one list a step."""
        return (self.requests(step) for step in range(self.start_step, self.total_steps))

    def requests(self, step: int) -> list[PairRequest]:
        """This rank's requests of a step."""
        local = self.batch_size // self.world_size
        mine = slice(self.rank * local, (self.rank + 1) * local)
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._known[0]:
            self._known = (epoch, self._order(epoch))
        entries = self._known[1][place * self.batch_size : (place + 1) * self.batch_size]
        repeats, videos = np.divmod(entries, self.num_videos)
        return [
            PairRequest(video, epoch, speed, other, repeat)
            for video, speed, other, repeat in zip(
                *(row[mine].tolist() for row in (videos, *self._speeds(step), repeats)), strict=True
            )
        ]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Entries (repeat * num_videos + video) of an epoch: one shuffle of all videos for each repeat."""
        rng = numpy_rng(self.seed, "order", epoch)
        repeats = range(self.clips_per_video)
        return np.concatenate([rng.permutation(self.num_videos) + repeat * self.num_videos for repeat in repeats])

    def _speeds(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Own and other speeds of a global batch: two int64 [batch_size], a random half of the first the base."""
        rng = numpy_rng(self.seed, "speed", step)
        fast = self.speeds[int(rng.integers(len(self.speeds)))]
        is_fast = rng.permutation(self.batch_size) < self.batch_size // 2
        own = np.where(is_fast, fast, self.base_speed)
        return own, self.base_speed + fast - own


def epoch_steps(num_videos: int, batch_size: int, *, clips_per_video: int) -> int:
    """Whole batches in one epoch of `clips_per_video` passes over the videos."""
    return num_videos * clips_per_video // batch_size


def _check(num_videos: int, batch_size: int, clips_per_video: int, world_size: int, speeds: Sequence[int]) -> None:
    if batch_size < 1 or clips_per_video < 1:
        raise ConfigError(f"batch_size and clips_per_video must be >= 1, not {batch_size} and {clips_per_video}")
    if batch_size > num_videos * clips_per_video:
        raise ConfigError(
            f"a batch of {counted(batch_size, 'clip')} is larger than an epoch of "
            f"{counted(num_videos, 'video')} x {counted(clips_per_video, 'clip')}: "
            "make the batch smaller or clips_per_video larger"
        )
    if batch_size % world_size:
        raise ConfigError(
            f"a batch of {counted(batch_size, 'clip')} cannot be shared evenly by {counted(world_size, 'process')}"
        )
    base, *fast = speeds
    if base < 1 or not fast or min(fast) <= base:
        raise ConfigError(
            f"speeds must be whole numbers above the base speed {base}, which is at least 1 (the other half of a batch "
            f"plays at it), not {fast}"
        )
