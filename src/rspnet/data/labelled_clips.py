"""Clips with labels: random ones for fine-tuning, evenly spaced ones under one or three crops for evaluation.

Unlike pre-training nothing here depends on true speed, so a video shorter than a clip repeats its last frame.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.errors import ConfigError, DecodeError, TooManySkippedError
from rspnet.core.rng import numpy_rng
from rspnet.core.workers import Death, Replace, note, ordered_map
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import Box, centre_square, draw_box
from rspnet.data.datasets import EvalClipDataset, EvalSample
from rspnet.data.presets import AugmentPreset
from rspnet.data.skipped import Skip
from rspnet.video.clips import Indices, clip_indices, even_clips, tick_frames
from rspnet.video.reader import View, open_video

_MAX_ATTEMPTS = 10
_HANG_SECONDS = 120.0
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ClipShape:
    """Which frames make a clip, and its size.

    Attributes:
        num_frames: T.
        stride_frames: ticks from one frame to the next; ignored where `spread`.
        size: S, height and width in pixels.
        fps: ticks a second (read by time), or None for native frames.
        spread: frames evenly over the whole video instead of a window (Something-Something V2; METHOD section 4).
    """

    num_frames: int
    stride_frames: int
    size: int
    fps: float | None = None
    spread: bool = False


def spread_ticks(total: int, num_frames: int, offset: float) -> Indices:
    """One tick of each of `num_frames` equal parts of a video, all at the same share `offset` (0..1) of their part."""
    return np.minimum((np.arange(num_frames) + offset) * total / num_frames, total - 1).astype(np.int64)


@dataclass(frozen=True)
class ClipRequest:
    """One training sample to make: the video, the epoch, and the place in it (a part of the seed)."""

    index: int
    epoch: int
    place: int


class LabelledSampler:
    """One rank's batches of requests from `start_step` to `total_steps`, a function of the seed and the step alone.

    Every epoch is a new order of all videos, its last incomplete batch dropped. Balanced, it has as many entries, but
    every class comes equally often: videos of rare classes are repeated, some of common classes wait for a later epoch.

    Args:
        labels: class of every video.
        batch_size: samples of a step over all ranks.
        seed: the run's seed.
        total_steps: step to stop before.
        start_step: first step, for a resume.
        balanced: class-balanced order.
        rank: this process's number.
        world_size: number of processes.

    Raises:
        ConfigError: a batch larger than an epoch, or not a multiple of `world_size`.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        batch_size: int,
        seed: int,
        total_steps: int,
        start_step: int = 0,
        balanced: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size > len(labels):
            raise ConfigError(
                f"--clips.batch_size {batch_size} is more than the {len(labels)} training videos: lower it"
            )
        if batch_size % world_size:
            raise ConfigError(f"--clips.batch_size {batch_size} cannot be shared evenly by {world_size} processes")
        self.labels = np.asarray(labels, dtype=np.int64)
        self.batch_size, self.seed, self.balanced = batch_size, seed, balanced
        self.start_step, self.total_steps = start_step, total_steps
        self.rank, self.world_size = rank, world_size

    @property
    def steps_per_epoch(self) -> int:
        """Whole global batches in an epoch."""
        return len(self.labels) // self.batch_size

    def __iter__(self) -> Iterator[list[ClipRequest]]:
        """This rank's requests, one list a step."""
        local = self.batch_size // self.world_size
        order_epoch, order = -1, np.zeros(0, dtype=np.int64)
        for step in range(self.start_step, self.total_steps):
            epoch, batch = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order_epoch, order = epoch, self._order(epoch)
            first = batch * self.batch_size + self.rank * local
            yield [ClipRequest(int(order[place]), epoch, place) for place in range(first, first + local)]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        rng = numpy_rng(self.seed, "labelled order", epoch)
        count = len(self.labels)
        if not self.balanced:
            return rng.permutation(count)
        classes = np.unique(self.labels)
        rounds = -(-count // len(classes))
        columns = []
        for label in classes:
            members = np.flatnonzero(self.labels == label)
            passes = [rng.permutation(members) for _ in range(-(-rounds // len(members)))]
            columns.append(np.concatenate(passes)[:rounds])
        rows = [rng.permutation(row) for row in np.stack(columns, axis=1)]
        return np.concatenate(rows)[:count]


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


class LabelledClipDataset:
    """Random clips of labelled videos (METHOD section 4): a random window, crop and flip; no colour jitter.

    A video that cannot be decoded is replaced by another one drawn from the request's seed, and named.

    Args:
        records: videos with labels.
        shape: frames and size of a clip.
        preset: crop and flip; its colours are not used.
        seed: the run's seed.
    """

    def __init__(self, records: Sequence[VideoRecord], *, shape: ClipShape, preset: AugmentPreset, seed: int) -> None:
        self.records, self.shape, self.preset, self.seed = list(records), shape, preset, seed

    def sample(self, request: ClipRequest, banned: Sequence[Skip] = ()) -> tuple[Pixels, int, str, list[Skip]]:
        """A clip uint8 [T, S, S, 3], its label and file, and the videos given up for it.

        Raises:
            TooManySkippedError: ten videos in a row cannot be read.
        """
        skipped: list[Skip] = []
        known = {skip.name: skip for skip in banned}
        for attempt in range(_MAX_ATTEMPTS):
            keys = (self.seed, "labelled clip", request.epoch, request.place, attempt)
            index = request.index if attempt == 0 else int(numpy_rng(*keys, "video").integers(len(self.records)))
            record = self.records[index]
            if record.name in known:
                skipped.append(known[record.name])
                continue
            note(index)
            try:
                pixels = self._read(record, numpy_rng(*keys))
            except DecodeError as error:
                skipped.append(Skip(record.name, error.why))
                continue
            assert record.label is not None
            return pixels, record.label, str(record.path), skipped
        last = skipped[-1]
        raise TooManySkippedError(
            f"{len(skipped)} training videos in a row could not be read; the last was {last.name!r}: {last.reason}",
            skipped=skipped,
        )

    def _read(self, record: VideoRecord, rng: np.random.Generator) -> Pixels:
        shape = self.shape
        with open_video(record.path) as video:
            shown = tick_frames(video.times, shape.fps)
            ticks = self._draw_ticks(len(shown), rng)
            wanted, where = np.unique(shown[ticks], return_inverse=True)
            box = draw_box(self.preset, height=video.height, width=video.width, rng=rng)
            flip = bool(rng.random() < self.preset.flip_p)
            view = View(wanted.tolist(), box=box, size=(shape.size, shape.size), flip=flip)
            (pixels,) = video.read_views([view])
        return np.asarray(pixels)[where.reshape(-1)]

    def _draw_ticks(self, total: int, rng: np.random.Generator) -> Indices:
        shape = self.shape
        if shape.spread:
            return spread_ticks(total, shape.num_frames, rng.random())
        room = max(0, total - ((shape.num_frames - 1) * shape.stride_frames + 1))
        start = int(rng.integers(room + 1))
        return np.minimum(clip_indices(start, shape.num_frames, shape.stride_frames), total - 1)


@dataclass(frozen=True)
class _Task:
    requests: list[ClipRequest]
    banned: tuple[Skip, ...] = ()
    again: bool = False


_Made = tuple[Pixels, NDArray[np.int64], list[str], list[Skip]]
"""What a `LabelledBatch` is made of."""


@dataclass(frozen=True)
class _MakeBatch:
    """What a worker does: one task to arrays (NumPy, so that nothing is shared with a process that may die)."""

    dataset: LabelledClipDataset
    in_worker: bool

    def __call__(self, task: _Task) -> _Made:
        if self.in_worker:
            torch.set_num_threads(1)
        parts = [self.dataset.sample(request, task.banned) for request in task.requests]
        clips, labels, files, skipped = zip(*parts, strict=True)
        skips = [skip for part in skipped for skip in part]
        return np.stack(clips), np.array(labels, dtype=np.int64), list(files), skips


def labelled_batches(
    dataset: LabelledClipDataset, sampler: Iterable[list[ClipRequest]], *, num_workers: int
) -> Iterator[LabelledBatch]:
    """The sampler's batches in order; the same whatever the number of workers. A video that kills one is skipped."""

    def after_death(task: _Task, death: Death) -> _Task | Replace[_Made]:
        if death.signal in (signal.SIGKILL, signal.SIGTERM) and not death.hung and not task.again:
            return replace(task, again=True)  # ended from outside (a scheduler, out of memory): no video's fault
        name = dataset.records[death.note].name if death.note >= 0 else ""
        if not name or name in {skip.name for skip in task.banned}:
            raise TooManySkippedError(f"a loader process died without a video to blame: {death.reason}")
        return replace(task, banned=(*task.banned, Skip(name, death.reason)))

    made = ordered_map(
        _MakeBatch(dataset, in_worker=num_workers > 0),
        (_Task(requests) for requests in sampler),
        workers=num_workers,
        after_death=after_death,
        hang_seconds=_HANG_SECONDS,
        preload=["rspnet.data.labelled_clips"],
    )
    for clips, labels, files, skipped in made:
        yield LabelledBatch(torch.from_numpy(clips), torch.from_numpy(labels), files, skipped)


def even_squares(height: int, width: int, num_crops: int) -> list[Box]:
    """Largest squares spread evenly along the longer side (one: the centre): (top, left, height, width) each.

    Raises:
        ConfigError: neither 1 nor 3 crops.
    """
    if num_crops == 1:
        return [centre_square(height, width)]
    if num_crops != 3:
        raise ConfigError(f"num_crops must be 1 or 3, not {num_crops}")
    side = min(height, width)
    down, right = (height - side, 0) if height > width else (0, width - side)
    return [(round(down * share), round(right * share), side, side) for share in (0.0, 0.5, 1.0)]


class CropClipDataset(EvalClipDataset):
    """Evaluation views: n even clips (or n offsets of frames over the whole video) under 1 or 3 crops, no randomness.

    Args:
        records: the videos.
        shape: frames and size of a clip.
        num_clips: n.
        num_crops: 1 (largest centre square) or 3 (squares along the longer side).
    """

    def __init__(self, records: Sequence[VideoRecord], *, shape: ClipShape, num_clips: int, num_crops: int) -> None:
        super().__init__(
            records,
            num_frames=shape.num_frames,
            stride_frames=shape.stride_frames,
            num_clips=num_clips,
            size=shape.size,
            fps=shape.fps,
        )
        self.shape, self.num_crops = shape, num_crops

    def max_sample_bytes(self) -> int:
        """A sample's pixels in bytes."""
        return super().max_sample_bytes() * self.num_crops

    def __getitem__(self, index: int) -> EvalSample:
        """The clips of video `index`, decoded in one pass: uint8 [n * crops, T, S, S, 3], crops of a clip together."""
        record = self.records[index]
        try:
            with open_video(record.path) as video:
                shown = tick_frames(video.times, self.fps)
                frames = shown[self._ticks(len(shown))]
                wanted, where = np.unique(frames, return_inverse=True)
                boxes = even_squares(video.height, video.width, self.num_crops)
                views = [View(wanted.tolist(), box=box, size=(self.size, self.size)) for box in boxes]
                crops = np.stack([np.asarray(pixels) for pixels in video.read_views(views)])
        except DecodeError as error:
            return EvalSample(record, None, None, Skip(record.name, error.why))
        clips = torch.from_numpy(crops)[:, torch.from_numpy(where.reshape(frames.shape))]
        together = clips.transpose(0, 1).flatten(0, 1)
        return EvalSample(record, together, torch.from_numpy(frames).repeat_interleave(self.num_crops, dim=0), None)

    def _ticks(self, total: int) -> Indices:
        if not self.shape.spread:
            return even_clips(
                total, num_frames=self.num_frames, stride_frames=self.stride_frames, num_clips=self.num_clips
            )
        offsets = (np.arange(self.num_clips) + 0.5) / self.num_clips
        return np.stack([spread_ticks(total, self.num_frames, float(offset)) for offset in offsets])
