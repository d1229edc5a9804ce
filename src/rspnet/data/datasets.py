"""Samples out of video files for pre-training: pairs of windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rspnet.core.errors import RSPNetError
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import ClipDraw, draw_clip
from rspnet.data.cuts import check_pixels_and_rate
from rspnet.data.presets import AugmentPreset
from rspnet.data.reading import attempt
from rspnet.data.record_table import RecordTable
from rspnet.data.sampler import PairRequest
from rspnet.data.skipped import Skip
from rspnet.video.clips import (
    MAX_REPEATED,
    Indices,
    SpeedUnion,
    draw_window,
    repeated_share,
    speed_union,
    window_length,
)
from rspnet.video.reader import VideoReader, View
from rspnet.video.views import Pixels
from rspnet.video.watch import Watch

Keys = tuple[int | str, ...]
Sample = TypeVar("Sample", covariant=True)

# Videos tried for one sample before giving up: at 5 % bad videos, ten in a row come once in 10^13 samples.
_MAX_ATTEMPTS = 10
MAX_DRAWS = 4
"""Windows drawn from one video before it is taken for frozen: a scene may rest for a while."""


@dataclass(frozen=True)
class PairSample:
    """One video's two windows, before colours are changed.

    Attributes:
        query: uint8 [T, S, S, 3], the clip at the own speed v.
        key: uint8 [U, S, S, 3], all frames the two key clips need, with one crop.
        key_same: int64 [T], positions in `key` of the clip at v.
        key_other: int64 [T], positions in `key` of the clip at the other speed w.
        query_jitter: float32 [JITTER_SIZE].
        key_jitter: float32 [JITTER_SIZE].
        query_seed: noise seed of the query.
        key_seed: noise seed of the key.
        index: the video that was read in the end.
        skipped: videos given up for this sample, with reasons.
    """

    query: Tensor
    key: Tensor
    key_same: Tensor
    key_other: Tensor
    query_jitter: Tensor
    key_jitter: Tensor
    query_seed: int
    key_seed: int
    index: int
    skipped: tuple[Skip, ...]


@dataclass(frozen=True)
class NoSample:
    """All the videos tried for one sample, none of which could be used."""

    skipped: tuple[Skip, ...]


class Read(Protocol[Sample]):
    """Makes a sample of an open video; raises where it cannot be used."""

    def __call__(self, video: VideoReader, *, keys: Keys, index: int, skipped: tuple[Skip, ...]) -> Sample:
        """`keys` are those of its draws, `index` is its number, `skipped` were given up before it."""
        ...


def first_moving(
    draw: Callable[[Keys], tuple[Sample, float]], keys: Keys, *, max_repeated: float = MAX_REPEATED, what: str
) -> Sample:
    """The first of `MAX_DRAWS` samples of one video whose clips show their true speed.

    Args:
        draw: a sample by such keys, and the largest share of repeats among its clips and the frames they span.
        keys: of the first draw; those of a further one end in its number.
        max_repeated: samples with at least this share are refused.
        what: is drawn, for the message.

    Raises:
        RSPNetError: there is none.
    """
    for number in range(MAX_DRAWS):
        sample, repeated = draw(keys if number == 0 else (*keys, number))
        if repeated < max_repeated:
            return sample
    raise RSPNetError(f"frozen or duplicated frames in all {MAX_DRAWS} {what}")


def first_usable(
    records: Sequence[VideoRecord], first: int, keys: Keys, deadly: Mapping[int, str], read: Read[Sample]
) -> Sample | NoSample:
    """The sample of video `first`, or of the first usable one of those drawn in its place from (keys, attempt).

    Args:
        records: the videos.
        first: the video asked for.
        keys: of the sample; `read` gets them with the attempt's number.
        deadly: videos (by index) not to be opened because they end the process, with reasons; see `core.workers`.
        read: makes the sample.
    """
    skipped: list[Skip] = []
    for number in range(_MAX_ATTEMPTS):
        own: Keys = (*keys, number)
        index = first if number == 0 else int(numpy_rng(*own, "video").integers(len(records)))
        record = records[index]
        if index in deadly:
            skipped.append(Skip(record.name, deadly[index]))
            continue
        found = attempt(record, index, partial(read, keys=own, index=index, skipped=tuple(skipped)))
        if not isinstance(found, Skip):
            return found
        skipped.append(found)
    return NoSample(tuple(skipped))


@dataclass(frozen=True)
class _Draft:
    """What is drawn of a sample before its video is decoded.

    Attributes:
        views: of query and key.
        draws: looks of query and key.
        union: where the key clips are in the key's frames.
        stretches: all frames from the first to the last of query, same-speed and other-speed key.
    """

    views: tuple[View, View]
    draws: tuple[ClipDraw, ClipDraw]
    union: SpeedUnion
    stretches: list[list[int]]

    def finish(
        self, query: Pixels, key: Pixels, watch: Watch, index: int, skipped: tuple[Skip, ...]
    ) -> tuple[PairSample, float]:
        """The sample of these pixels, and the largest share of repeats among its clips and their stretches."""
        (query_draw, key_draw), first, second = self.draws, self.union.first, self.union.second
        clips = [query, key[first], key[second], *(watch.pictures(frames) for frames in self.stretches)]
        sample = PairSample(
            query=torch.as_tensor(query),
            key=torch.as_tensor(key),
            key_same=torch.from_numpy(first),
            key_other=torch.from_numpy(second),
            query_jitter=torch.from_numpy(query_draw.jitter),
            key_jitter=torch.from_numpy(key_draw.jitter),
            query_seed=query_draw.noise_seed,
            key_seed=key_draw.noise_seed,
            index=index,
            skipped=skipped,
        )
        return sample, max(repeated_share(clip) for clip in clips)


class ClipPairDataset(Dataset[PairSample | NoSample]):
    """Query and key windows of videos (METHOD: steps 1 and 2), each a function of its request and the seed alone.

    A video that cannot be decoded, is too short for a window, has no evenly timed window or is frozen is replaced by
    another one, drawn from (seed, epoch, index, repeat, attempt), and named in the sample's `skipped`.

    Args:
        records: the videos.
        num_frames: T, frames of a clip.
        speeds: all speeds that requests may name in addition to 1; the largest sizes the window.
        size: S, height and width of the clips in pixels.
        preset: how crop, flip and colours are drawn.
        seed: the run's seed.
        fps: read the videos at this rate by time, or None for their native frames.
        max_repeated: clips with at least this share of repeated pictures are refused; above 1 takes even stills.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        num_frames: int,
        speeds: Sequence[int],
        size: int,
        preset: AugmentPreset,
        seed: int,
        fps: float | None = None,
        max_repeated: float = MAX_REPEATED,
    ) -> None:
        check_pixels_and_rate(size, fps)
        self.records = RecordTable(records)
        self.num_frames = num_frames
        self.window = window_length(num_frames, [1, *speeds])
        self.size = size
        self.preset = preset
        self.seed = seed
        self.fps = fps
        self.max_repeated = max_repeated

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.records)

    def max_sample_bytes(self) -> int:
        """Upper bound of a sample's pixels in bytes."""
        return (self.num_frames + self.window) * self.size * self.size * 3

    def __getitem__(self, request: PairRequest) -> PairSample | NoSample:
        """The sample of a request; `NoSample` if 10 videos in a row cannot be used."""
        return self.sample(request, {})

    def sample(self, request: PairRequest, deadly: Mapping[int, str]) -> PairSample | NoSample:
        """The sample of a request.

        Args:
            request: which video, at which speeds.
            deadly: videos (by index) not to be opened because they end the process, with reasons; see `core.workers`.
        """
        assert max(request.speed, request.other_speed) * self.num_frames <= self.window

        def read(video: VideoReader, *, keys: Keys, index: int, skipped: tuple[Skip, ...]) -> PairSample:
            return self._read(video, request, keys, index, skipped)

        return first_usable(self.records, request.index, self._keys(request), deadly, read)

    def sample_of(self, video: VideoReader, request: PairRequest) -> PairSample:
        """The sample of an open video, in whose place no other is drawn.

        Raises:
            RSPNetError: pre-training would skip the video.
        """
        return self._read(video, request, (*self._keys(request), 0), request.index, ())

    def _keys(self, request: PairRequest) -> Keys:
        return (self.seed, "pair", request.epoch, request.index, request.repeat)

    def _read(
        self, video: VideoReader, request: PairRequest, keys: Keys, index: int, skipped: tuple[Skip, ...]
    ) -> PairSample:
        def draw(keys: Keys) -> tuple[PairSample, float]:
            return self._draw_sample(video, request, keys, index, skipped)

        what = "pairs of windows drawn: no true speed"
        return first_moving(draw, keys, max_repeated=self.max_repeated, what=what)

    def _draw_sample(
        self, video: VideoReader, request: PairRequest, keys: Keys, index: int, skipped: tuple[Skip, ...]
    ) -> tuple[PairSample, float]:
        """A sample, and the largest share of repeats among its three clips and the stretches they are cut from."""
        draft = self._draft(video, request, keys)
        watch = Watch(frame for stretch in draft.stretches for frame in stretch)
        query, key = video.read_views(draft.views, watch=watch)
        return draft.finish(query, key, watch, index, skipped)

    def _draft(self, video: VideoReader, request: PairRequest, keys: Keys) -> _Draft:
        """Draw windows and looks."""
        num_frames = self.num_frames
        union = speed_union(num_frames, request.speed, request.other_speed)
        (query_draw, query_view, query_window), (key_draw, key_view, key_window) = (
            self.draw_window_and_looks(video, ticks, numpy_rng(*keys, name))
            for name, ticks in (("query", np.arange(num_frames) * request.speed), ("key", union.offsets))
        )
        windows = [(query_window, request.speed), (key_window, request.speed), (key_window, request.other_speed)]
        stretches = [window[: (num_frames - 1) * speed + 1].tolist() for window, speed in windows]
        return _Draft((query_view, key_view), (query_draw, key_draw), union, stretches)

    def draw_window_and_looks(
        self, video: VideoReader, ticks: Indices, rng: np.random.Generator
    ) -> tuple[ClipDraw, View, Indices]:
        """Draw a window and its looks: these, a view of the window's frames at `ticks` only, and the window.

        Args:
            video: the open video.
            ticks: the frames to see, counted from the window's start.
            rng: what to draw by.
        """
        window = draw_window(video.times, length=self.window, rng=rng, fps=self.fps)
        draw = draw_clip(self.preset, height=video.height, width=video.width, rng=rng)
        return draw, View(window[ticks].tolist(), box=draw.box, size=(self.size, self.size), flip=draw.flip), window
