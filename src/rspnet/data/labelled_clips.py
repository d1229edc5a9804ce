"""Random clips with labels, for fine-tuning.

Unlike pre-training nothing here depends on true speed, so a video shorter than a clip repeats its last frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError, TooManySkippedError
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import draw_box
from rspnet.data.cuts import ClipShape, Crop, Cut, spread_ticks
from rspnet.data.datasets import Keys, NoSample, first_usable
from rspnet.data.presets import AugmentPreset
from rspnet.data.reading import BatchTask, read_batches
from rspnet.data.record_table import RecordTable
from rspnet.data.skipped import Skip
from rspnet.video.clips import Indices, clip_indices, tick_frames
from rspnet.video.reader import VideoReader

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelledRequest:
    """One training sample to make: the video, the epoch, and the place in it (a part of the seed)."""

    index: int
    epoch: int
    place: int


class LabelledSampler:
    """One rank's batches of requests from `start_step` to `total_steps`, a function of the seed and the step alone.

    Every epoch is a new order of all videos, its last incomplete batch dropped.

    Args:
        num_videos: number of training videos.
        batch_size: samples of a step over all ranks.
        seed: the run's seed.
        total_steps: step to stop before.
        start_step: first step, for a resume.
        rank: this process's number.
        world_size: number of processes.

    Raises:
        ConfigError: a batch larger than an epoch, or not a multiple of `world_size`.
    """

    def __init__(
        self,
        num_videos: int,
        *,
        batch_size: int,
        seed: int,
        total_steps: int,
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size > num_videos:
            raise ConfigError(
                f"--clips.batch_size {batch_size} is more than {counted(num_videos, 'training video')}: lower it to "
                f"{num_videos} or less; without the option a batch is chosen that fits"
            )
        if batch_size % world_size:
            raise ConfigError(
                f"--clips.batch_size {batch_size} cannot be shared evenly by {counted(world_size, 'process')}"
            )
        self.num_videos, self.batch_size, self.seed = num_videos, batch_size, seed
        self.start_step, self.total_steps = start_step, total_steps
        self.rank, self.world_size = rank, world_size

    @property
    def steps_per_epoch(self) -> int:
        """Whole global batches in an epoch."""
        return self.num_videos // self.batch_size

    def __iter__(self) -> Iterator[list[LabelledRequest]]:
        """This rank's requests, one list a step."""
        local = self.batch_size // self.world_size
        order_epoch, order = -1, np.zeros(0, dtype=np.int64)
        for step in range(self.start_step, self.total_steps):
            epoch, batch = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order_epoch, order = epoch, self._order(epoch)
            first = batch * self.batch_size + self.rank * local
            yield [LabelledRequest(int(order[place]), epoch, place) for place in range(first, first + local)]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return numpy_rng(self.seed, "labelled order", epoch).permutation(self.num_videos)


@dataclass(frozen=True)
class LabelledBatch:
    """Clips of one step on one rank: uint8 [B, T, S, S, 3], int64 labels [B], their files, videos given up for them."""

    clips: Tensor
    labels: Tensor
    files: list[str]
    skipped: list[Skip]

    def __len__(self) -> int:
        """Clips in the batch."""
        return len(self.labels)

    def pin_memory(self) -> LabelledBatch:
        """The batch in page-locked memory, for a copy that does not block."""
        return replace(self, clips=self.clips.pin_memory(), labels=self.labels.pin_memory())

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> LabelledBatch:
        """The batch with its pixels and labels on `device`."""
        clips = self.clips.to(device, non_blocking=non_blocking)
        return replace(self, clips=clips, labels=self.labels.to(device, non_blocking=non_blocking))


class LabelledSample(NamedTuple):
    """A clip uint8 [T, S, S, 3], its label and file, and the videos given up for it."""

    pixels: Pixels
    label: int
    file: str
    skipped: tuple[Skip, ...]


class LabelledClipDataset:
    """Random clips of labelled videos (METHOD section 4): a random window, crop and flip; no colour jitter.

    A video that cannot be decoded is replaced by another video drawn from the request's seed, and named.

    Args:
        records: videos with labels.
        shape: frames and size of a clip.
        preset: crop and flip; its colours are not used.
        seed: the run's seed.
    """

    def __init__(self, records: Sequence[VideoRecord], *, shape: ClipShape, preset: AugmentPreset, seed: int) -> None:
        self.records, self.shape, self.preset, self.seed = RecordTable(records), shape, preset, seed

    def sample(self, request: LabelledRequest, deadly: Mapping[int, str]) -> LabelledSample:
        """A random clip of the video asked for, or of another video in its place.

        Args:
            request: which video, and the place in the training that its draws depend on.
            deadly: videos (by index) not to be opened because they end the process, with reasons.

        Raises:
            TooManySkippedError: ten videos in a row cannot be read.
        """

        def read(video: VideoReader, *, keys: Keys, index: int, skipped: tuple[Skip, ...]) -> LabelledSample:
            record = self.records[index]
            assert record.label is not None
            return LabelledSample(self._read(video, numpy_rng(*keys)), record.label, str(record.path), skipped)

        keys: Keys = (self.seed, "labelled clip", request.epoch, request.place)
        found = first_usable(self.records, request.index, keys, deadly, read)
        if not isinstance(found, NoSample):
            return found
        last = found.skipped[-1]
        raise TooManySkippedError(
            f"{counted(len(found.skipped), 'training video')} in a row could not be read; "
            f"the last was {last.name!r}: {last.reason}",
            skipped=found.skipped,
        )

    def _read(self, video: VideoReader, rng: np.random.Generator) -> Pixels:
        shape = self.shape
        shown = tick_frames(video.times, shape.fps)
        frames = shown[self._draw_ticks(len(shown), rng)]
        box = draw_box(self.preset, height=video.height, width=video.width, rng=rng)
        flip = bool(rng.random() < self.preset.flip_p)
        return Cut(frames[None], [Crop(box, flip)]).read(video, shape.size)[0].numpy()

    def _draw_ticks(self, total: int, rng: np.random.Generator) -> Indices:
        shape = self.shape
        if shape.spread:
            return spread_ticks(total, shape.num_frames, rng.random())
        room = max(0, total - ((shape.num_frames - 1) * shape.stride_frames + 1))
        start = int(rng.integers(room + 1))
        return np.minimum(clip_indices(start, shape.num_frames, shape.stride_frames), total - 1)


_Made = tuple[Pixels, NDArray[np.int64], list[str], list[Skip]]
"""What a `LabelledBatch` is made of."""


class _MakeBatch:
    """What a worker does: one task to arrays (NumPy, so that nothing is shared with a process that may die)."""

    def __init__(self, dataset: LabelledClipDataset) -> None:
        self._dataset = dataset

    def __call__(self, task: BatchTask) -> _Made:
        requests, deadly = task
        samples = [self._dataset.sample(request, deadly) for request in requests]
        skips = [skip for sample in samples for skip in sample.skipped]
        labels = np.array([sample.label for sample in samples], dtype=np.int64)
        return np.stack([sample.pixels for sample in samples]), labels, [sample.file for sample in samples], skips


def labelled_batches(
    dataset: LabelledClipDataset, sampler: Iterable[list[LabelledRequest]], *, num_workers: int
) -> Iterator[LabelledBatch]:
    """The sampler's batches in order; the same whatever the number of workers. A video that kills one is skipped."""
    made = read_batches(_MakeBatch(dataset), sampler, workers=num_workers, preload=["rspnet.data.labelled_clips"])
    for clips, labels, files, skipped in made:
        yield LabelledBatch(torch.from_numpy(clips), torch.from_numpy(labels), files, skipped)
