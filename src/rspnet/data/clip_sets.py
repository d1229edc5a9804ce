"""Samples of several clips with a label, for the pretext tasks other than RSP and A-VID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import augment, draw_clip
from rspnet.data.clip_tasks import ClipPlan, ClipRequest, ClipTask
from rspnet.data.cuts import check_pixels_and_rate
from rspnet.data.datasets import Keys, NoSample, first_moving, first_usable
from rspnet.data.presets import AugmentPreset
from rspnet.data.record_table import RecordTable
from rspnet.data.skipped import Skip
from rspnet.video.clips import draw_window, ordered_ticks, repeated_share
from rspnet.video.reader import VideoReader, View
from rspnet.video.watch import Watch


@dataclass(frozen=True)
class ClipSample:
    """The clips of one video, each with its own crop and colours, before colours are changed.

    Attributes:
        clips: n of uint8 [T, S, S, 3].
        jitter: n of float32 [JITTER_SIZE].
        seeds: noise seed of each.
        label: class number.
        index: the video that was read in the end.
        skipped: videos given up for this sample, with reasons.
    """

    clips: tuple[Tensor, ...]
    jitter: tuple[Tensor, ...]
    seeds: tuple[int, ...]
    label: int
    index: int
    skipped: tuple[Skip, ...]


@dataclass(frozen=True)
class ClipBatch:
    """Samples of one step on one rank; what each part means is said in `ClipSample`.

    Attributes:
        clips: n of uint8 [B, T, S, S, 3].
        jitter: n of float32 [B, JITTER_SIZE], always on the CPU.
        seeds: n of int64 [B], always on the CPU.
        label: int64 [B].
        index: int64 [B], videos, always on the CPU.
        skipped: videos given up on the way to this batch.
    """

    clips: tuple[Tensor, ...]
    jitter: tuple[Tensor, ...]
    seeds: tuple[Tensor, ...]
    label: Tensor
    index: Tensor
    skipped: list[Skip]

    def __len__(self) -> int:
        """Samples in the batch."""
        return len(self.label)

    def pin_memory(self) -> ClipBatch:
        """The batch in page-locked memory, for a copy that does not block."""
        return replace(self, clips=tuple(clip.pin_memory() for clip in self.clips), label=self.label.pin_memory())

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ClipBatch:
        """The batch with its pixels and labels on `device`."""
        clips = tuple(clip.to(device, non_blocking=non_blocking) for clip in self.clips)
        return replace(self, clips=clips, label=self.label.to(device, non_blocking=non_blocking))


class ClipSetDataset(Dataset[ClipSample | NoSample]):
    """Clips of videos for one task, each sample a function of its request and the seed alone.

    A video that cannot be used is replaced, as in `ClipPairDataset`, by one drawn from (seed, epoch, index, repeat,
    attempt), and named in the sample's `skipped`.

    Args:
        records: the videos.
        task: what is asked of them.
        num_frames: T, frames of a clip.
        size: S, height and width of the clips in pixels.
        preset: how crop, flip and colours of each clip are drawn.
        seed: the run's seed.
        fps: read the videos at this rate by time, or None for their native frames.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        task: ClipTask,
        num_frames: int,
        size: int,
        preset: AugmentPreset,
        seed: int,
        fps: float | None = None,
    ) -> None:
        check_pixels_and_rate(size, fps)
        self.records = RecordTable(records)
        self.task = task
        self.num_frames = num_frames
        self.window = task.window(num_frames)
        self.size = size
        self.preset = preset
        self.seed = seed
        self.fps = fps

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.records)

    def max_sample_bytes(self) -> int:
        """A sample's pixels in bytes."""
        return self.task.num_clips * self.num_frames * self.size * self.size * 3

    def sample(self, request: ClipRequest, deadly: Mapping[int, str]) -> ClipSample | NoSample:
        """The sample of a request; see `ClipPairDataset.sample`."""

        def read(video: VideoReader, *, keys: Keys, index: int, skipped: tuple[Skip, ...]) -> ClipSample:
            def draw(keys: Keys) -> tuple[ClipSample, float]:
                return self._draw_sample(video, request, keys, index, skipped)

            return first_moving(draw, keys, what="sets of clips drawn: nothing to tell")

        keys: Keys = (self.seed, "clips", request.epoch, request.index, request.repeat)
        return first_usable(self.records, request.index, keys, deadly, read)

    def _draw_sample(
        self, video: VideoReader, request: ClipRequest, keys: Keys, index: int, skipped: tuple[Skip, ...]
    ) -> tuple[ClipSample, float]:
        """A sample, and the largest share of repeats among its clips and the stretches they are cut from."""
        cuts, draws, views = self._cuts(video, request.plan, keys), [], []
        for place, (stretch, speed) in enumerate(cuts):
            draw = draw_clip(self.preset, height=video.height, width=video.width, rng=numpy_rng(*keys, "looks", place))
            draws.append(draw)
            views.append(View(stretch[::speed], box=draw.box, size=(self.size, self.size), flip=draw.flip))
        watch = Watch(frame for stretch, _ in cuts for frame in stretch)
        clips = video.read_views(views, watch=watch)
        sample = ClipSample(
            clips=tuple(torch.as_tensor(pixels) for pixels in clips),
            jitter=tuple(torch.from_numpy(draw.jitter) for draw in draws),
            seeds=tuple(draw.noise_seed for draw in draws),
            label=request.plan.label,
            index=index,
            skipped=skipped,
        )
        return sample, max(repeated_share(seen) for seen in (*clips, *(watch.pictures(cut) for cut, _ in cuts)))

    def _cuts(self, video: VideoReader, plan: ClipPlan, keys: Keys) -> list[tuple[list[int], int]]:
        """Of each clip as shown: all frames from its first to its last, and its speed."""
        if plan.order:
            window = draw_window(video.times, length=self.window, rng=numpy_rng(*keys, "window"), fps=self.fps)
            ticks = ordered_ticks(self.num_frames, len(plan.order))
            return [(window[ticks[place]].tolist(), 1) for place in plan.order]
        cuts = []
        for place, speed in enumerate(plan.speeds):
            rng = numpy_rng(*keys, "window", place)
            window = draw_window(video.times, length=self.window, rng=rng, fps=self.fps)
            cuts.append((window[: (self.num_frames - 1) * speed + 1].tolist(), speed))
        return cuts


def stack_clips(samples: Sequence[ClipSample]) -> ClipBatch:
    """Samples of one task as a batch."""
    places = range(len(samples[0].clips))
    return ClipBatch(
        clips=tuple(torch.stack([sample.clips[place] for sample in samples]) for place in places),
        jitter=tuple(torch.stack([sample.jitter[place] for sample in samples]) for place in places),
        seeds=tuple(torch.tensor([sample.seeds[place] for sample in samples]) for place in places),
        label=torch.tensor([sample.label for sample in samples]),
        index=torch.tensor([sample.index for sample in samples]),
        skipped=[skip for sample in samples for skip in sample.skipped],
    )


def augment_clips(batch: ClipBatch, *, noise_std: float = 0.0) -> tuple[Tensor, ...]:
    """The batch's clips, augmented where they are: n of [B, 3, T, S, S], channels_last_3d strides."""
    return tuple(
        augment(clips, jitter, noise_std=noise_std, seeds=seeds)
        for clips, jitter, seeds in zip(batch.clips, batch.jitter, batch.seeds, strict=True)
    )
