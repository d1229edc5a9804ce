"""Feature vectors of videos from a trained network: the part that `embed`, retrieval and search share."""

from __future__ import annotations

import copy
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from numbers import Integral, Real
from typing import Literal, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.errors import ConfigError, DecodeError
from rspnet.core.plugins import plugins_sha256
from rspnet.core.ranks import gather_objects, rank, world_size
from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import normalise
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import EvalSample, VideoClips, read_clips
from rspnet.engine.processes import share_cores
from rspnet.engine.runtime import pick_device, pick_precision
from rspnet.features.descriptor import Descriptor, describe, descriptor_length, joins_stages, usual_descriptor
from rspnet.features.spaces import Spaces, Stream, described_channels, search_spaces, space_lengths, window_spaces
from rspnet.models.fold import fold_batch_norms
from rspnet.models.heads import Embeddings
from rspnet.models.layout import channels_last
from rspnet.pretext.base import PretextModel
from rspnet.pretext.outside import OutsideBackbone
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet

Vectors = NDArray[np.float32]
_ROUND = 32
"""Parts of videos of each rank after which ranks exchange what they have."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class VideoFeatures:
    """What the network says of one video.

    Attributes:
        record: the video.
        frames: int64 [n, T], the frames each clip is made of.
        features: float32 [n, C], the backbone's feature map pooled over time and space, per clip; behind it what the
            embedder's descriptor joins of earlier stages (`joins_stages`).
        appearance: float32 [n, D], unit vectors of the A-VID head; D = 0 for a network that was pre-trained without it.
        motion: float32 [n, D], unit vectors of the RSP head; likewise.
    """

    record: VideoRecord
    frames: NDArray[np.int64]
    features: Vectors
    appearance: Vectors
    motion: Vectors

    @property
    def clip_vectors(self) -> tuple[Vectors, Vectors, Vectors]:
        """Features, appearance and motion."""
        return self.features, self.appearance, self.motion


@dataclass(frozen=True)
class Embedded:
    """A part of a video, and what the network says of it: `sample` without its pixels, features None without clips."""

    sample: EvalSample
    features: VideoFeatures | None


@dataclass(frozen=True)
class VideoVectors:
    """Vectors of the videos that could be read, row by row, and why the others have none.

    Attributes:
        paths: the N videos, as they were given.
        features: float32 [N, D], the descriptors that `Embedder.embed` returns alone.
        motion: float32 [N, M], unit vectors: how the videos move (M = 0 for a network without the RSP head).
        appearance: float32 [N, A], unit vectors: what the videos look like (likewise without the A-VID head).
        skipped: the other videos by their paths, each with its reason.
    """

    paths: list[str]
    features: Vectors
    motion: Vectors
    appearance: Vectors
    skipped: list[Skip]


class Embedder:
    """Turns videos into feature vectors: evenly spaced clips, largest centre square, moments over clips.

    The network is frozen as it is when the embedder is made: the embedder has a copy of its own, whose batch norms are
    folded into the convolutions before them.

    Args:
        model: a model, or the path of a checkpoint that `load_pretrained` reads.
        num_clips: evenly spaced clips per video (10 in the published protocols).
        num_frames: frames of a clip; the default is what the network was trained with.
        stride: frames from one frame of a clip to the next; the default is the slow speed it was trained with.
        fps: frames a second at which videos are read by time, 0 for their native frames; the default is what the
            network was trained with.
        size: height and width of a clip; the default is what the network was trained with.
        pooling: how the last feature map becomes one vector per clip: "average" or "max" over time and space.
        descriptor: how the vectors of a video's clips become one, see `rspnet.features.descriptor`; the default is
            "mean_std_change" for several clips.
        stream: of a two-stream network, whose features descriptors are made of; any other has one.
        batch_size: clips that go through the network together.
        num_workers: processes that read videos; 0 reads in this one.
        device: "auto", "cpu" or "cuda".
        precision: "auto" (bf16 where native), "bf16", "fp32" or "fp16".

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: a number out of its range, or a name that is none of those above.

    Attributes:
        fps: frames a second at which videos are read by time; None: their native frames.
        elsewhere: gives the parts of videos in the place of this process, see `rspnet.features.embedding_on_ray`.

    Example:
        >>> features = Embedder("runs/first/last.ckpt").embed(["a.mp4", "b.mp4"])  # float32 [2, D]
    """

    def __init__(
        self,
        model: PretextModel | str | os.PathLike[str],
        *,
        num_clips: int = 10,
        num_frames: int | None = None,
        stride: int | None = None,
        fps: float | None = None,
        size: int | None = None,
        pooling: Literal["average", "max"] = "average",
        descriptor: Descriptor | None = None,
        stream: Stream = "motion",
        batch_size: int = 16,
        num_workers: int = 0,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        precision: str = "auto",
    ) -> None:
        loaded = copy.deepcopy(model) if isinstance(model, PretextModel) else load_pretrained(model)
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.model = channels_last(loaded.to(self.device)).eval()
        self._dtype = _DTYPES[self.precision]
        folded = fold_batch_norms(loaded.backbone)
        self._network = channels_last(folded.to(dtype=self._dtype))
        self.num_clips = num_clips
        self.num_frames = loaded.config["num_frames"] if num_frames is None else num_frames
        self.size = loaded.config["size"] if size is None else size
        self.stride = loaded.config.get("stride", 1) if stride is None else stride
        self.fps = _checked_rate(loaded.fps if fps is None else fps)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._check_numbers()
        self.pooling = pooling
        self.descriptor = usual_descriptor(num_clips) if descriptor is None else descriptor
        self.stream_described = stream
        self._check_names()
        self.elsewhere: Callable[[Embedder, VideoClips], Iterator[Embedded]] | None = None

    @property
    def plugins_sha256(self) -> str:
        """Of the code that defines the network outside this package; "" of our own networks."""
        return plugins_sha256(self.model.config.get("plugins", ()))

    def share_cores(self, num_workers: int | None) -> None:
        """Divide this process's cores between the network and the readers of videos, as pre-training does.

        Sets the threads of torch in this process, and `num_workers`.

        Args:
            num_workers: readers, or None for the rest of the cores.
        """
        shape = (3, self.num_frames, self.size, self.size)
        network = None if isinstance(self.model.backbone, OutsideBackbone) else self.model.backbone
        self.num_workers = share_cores(network, shape, device=self.device, workers=num_workers)

    def _check_numbers(self) -> None:
        least = {"num_clips": 1, "num_frames": 2, "stride": 1, "size": 1, "batch_size": 1, "num_workers": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, Integral):
                raise ConfigError(f"{name} {value!r}: must be a whole number")
            if value < smallest:
                raise ConfigError(f"{name} {value}: must be at least {smallest}")

    def _check_names(self) -> None:
        if self.pooling not in ("average", "max"):
            raise ConfigError(f"unknown pooling {self.pooling!r}; choose one of average, max")
        if self.stream_described not in get_args(Stream):
            raise ConfigError(f"unknown stream {self.stream_described!r}; choose one of {', '.join(get_args(Stream))}")
        if self.descriptor not in get_args(Descriptor):
            raise ConfigError(
                f"unknown descriptor {self.descriptor!r}; choose one of {', '.join(get_args(Descriptor))}"
            )

    @overload
    def embed(self, paths: Sequence[str | os.PathLike[str]], *, on_error: Literal["raise"] = "raise") -> Vectors: ...

    @overload
    def embed(self, paths: Sequence[str | os.PathLike[str]], *, on_error: Literal["skip"]) -> VideoVectors: ...

    def embed(
        self, paths: Sequence[str | os.PathLike[str]], *, on_error: Literal["raise", "skip"] = "raise"
    ) -> Vectors | VideoVectors:
        """A feature vector for every video: float32 [N, D], the descriptor of its clips' backbone features.

        Args:
            paths: files or URLs of videos.
            on_error: "raise" ends at the first video that cannot be read. "skip" goes on, and returns paths, features,
                motion, appearance and the skipped videos together (`VideoVectors`).

        Raises:
            ConfigError: `paths` is one path instead of a list of them, or `on_error` is neither of the two.
            DecodeError: a video cannot be read, and `on_error` is "raise".

        Example:
            >>> found = Embedder("rspnet-small").embed(paths, on_error="skip")
            >>> found.paths, found.features, found.motion, found.appearance, found.skipped
        """
        if isinstance(paths, str | os.PathLike):
            raise ConfigError(f"embed takes a list of paths, not one path: embed([{os.fspath(paths)!r}])")
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"unknown on_error {on_error!r}; choose one of raise, skip")
        names: list[str] = []
        rows: dict[str, list[Vectors]] = {"features": [], "motion": [], "appearance": []}
        skipped: list[Skip] = []
        for result in self.stream([VideoRecord(as_path(path), os.fspath(path)) for path in paths]):
            if isinstance(result, Skip):
                if on_error == "raise":
                    raise DecodeError(as_path(result.name), result.reason)
                skipped.append(result)
                continue
            names.append(result.record.name)
            spaces = self._spaces(result, len(result.features))
            rows["features"].append(self.describe(result.features)[None])
            rows["motion"].append(spaces.motion)
            rows["appearance"].append(spaces.appearance)
        lengths = {"motion": 0, "appearance": 0, **self.vector_lengths()}
        whole = {kind: np.concatenate([np.zeros((0, lengths[kind]), np.float32), *own]) for kind, own in rows.items()}
        return whole["features"] if on_error == "raise" else VideoVectors(names, **whole, skipped=skipped)

    def describe(self, features: Vectors) -> Vectors:
        """The descriptor of a video from its clips' features [n, C]: float32 [D]."""
        return describe(features[:, self._described], self.descriptor)

    @property
    def num_features(self) -> int:
        """D, the length of what `embed` and `describe` return."""
        return descriptor_length(len(self._described), self.descriptor)

    @property
    def _described(self) -> NDArray[np.int64]:
        return described_channels(self.model.backbone, self.stream_described, self.descriptor)

    def stream(self, records: Sequence[VideoRecord]) -> Iterator[VideoFeatures | Skip]:
        """Features of every video in turn, or why there are none."""
        return self.stream_clips(self.clips(records))

    def vector_lengths(self) -> dict[str, int]:
        """Lengths of `window_vectors`, by kind; without the kinds that this network has no heads for."""
        backbone = self.model.backbone
        lengths = {"features": self.num_features}
        if isinstance(self.model, RSPNet):
            motion, appearance = space_lengths(
                backbone, dim=int(self.model.config["feature_dim"]), descriptor=self.descriptor
            )
            lengths |= {"appearance": appearance, "motion": motion}
        return lengths

    def window_vectors(self, found: VideoFeatures, clips: int) -> dict[str, Vectors]:
        """Vectors of windows of `clips` clips each, [n, length]: descriptors of the features, and both spaces."""
        return self._described_windows(found.features, clips) | self._spaces(found, clips)._asdict()

    def search_vectors(self, found: tuple[Vectors, Vectors, Vectors], clips: int) -> dict[str, Vectors]:
        """The same of what `encode` gives, for searching: without heads the features are both spaces."""
        backbone = self.model.backbone
        spaces = search_spaces(found, backbone=backbone, clips=clips, descriptor=self.descriptor)
        return self._described_windows(found[0], clips) | spaces._asdict()

    def _described_windows(self, features: Vectors, clips: int) -> dict[str, Vectors]:
        windows = np.split(features, len(features) // clips)
        return {"features": np.stack([self.describe(own) for own in windows])}

    def _spaces(self, found: VideoFeatures, clips: int) -> Spaces:
        backbone = self.model.backbone
        return window_spaces(found.clip_vectors, backbone=backbone, clips=clips, descriptor=self.descriptor)

    def clips(self, records: Sequence[VideoRecord]) -> VideoClips:
        """The clips that this embedder takes of videos."""
        return VideoClips(records, self.cutter())

    def cutter(self) -> EvenClips:
        """Which frames and crops this embedder takes of a video."""
        return EvenClips(ClipShape(self.num_frames, self.stride, self.size, self.fps), self.num_clips)

    def stream_clips(self, clips: VideoClips) -> Iterator[VideoFeatures | Skip]:
        """Features of the clips that are read of each video in turn, or why there are none; see `stream_parts`."""
        for embedded in self.stream_parts(clips):
            if embedded.sample.skip is not None:
                yield embedded.sample.skip
            elif embedded.features is not None:
                yield embedded.features

    def stream_parts(self, clips: VideoClips) -> Iterator[Embedded]:
        """Features of every part of every video in turn.

        Several ranks share the videos out and give all results to each: the same ones as on one rank, since clips of
        different videos never go through the network together.
        """
        own = self.stream_own_parts(clips)
        if self.elsewhere is not None:
            yield from own
            return
        arrived: list[deque[Embedded]] = [deque() for _ in range(world_size())]
        for place in range(len(clips)):
            queue = arrived[place % world_size()]
            while True:
                while not queue:
                    rounds = gather_objects(list(islice(own, _ROUND if world_size() > 1 else 1)))
                    for theirs, more in zip(arrived, rounds, strict=True):
                        theirs.extend(more)
                embedded = queue.popleft()
                yield embedded
                if embedded.sample.is_last:
                    break

    def stream_own_parts(self, clips: VideoClips) -> Iterator[Embedded]:
        """Features of every part of the videos that are this rank's share; nothing is gathered.

        The parts of a video come in turn; the videos, too, but for those of an embedder that works `elsewhere`.
        """
        if self.elsewhere is not None:
            yield from self.elsewhere(self, clips)
            return
        places = range(rank(), len(clips), world_size())
        for sample in read_clips(clips, num_workers=self.num_workers, places=places):
            yield self._embedded(sample)

    def _embedded(self, sample: EvalSample) -> Embedded:
        described = replace(sample, clips=None)
        if sample.clips is None or sample.frames is None:
            return Embedded(described, None)
        parts = [self.encode(clips) for clips in torch.split(sample.clips, self.batch_size)]
        features, appearance, motion = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not np.isfinite(features).all():
            skip = Skip(sample.record.name, f"the network's features of it are not finite in {self.precision}")
            return Embedded(replace(described, skip=skip), None)
        return Embedded(described, VideoFeatures(sample.record, sample.frames.numpy(), features, appearance, motion))

    @torch.no_grad()
    def encode(self, clips: Tensor) -> tuple[Vectors, Vectors, Vectors]:
        """uint8 [n, T, H, W, 3] -> pooled features [n, C], appearance and motion vectors [n, D]."""
        maps, heads = self._encode(normalise(clips.to(self.device), dtype=self._dtype))
        pooled = maps.float().mean(dim=(2, 3, 4)) if self.pooling == "average" else maps.float().amax(dim=(2, 3, 4))
        features, appearance, motion = (part.cpu().numpy() for part in (pooled, *heads))
        return features, appearance, motion

    @torch.no_grad()
    def encode_views(self, views: Tensor) -> Embeddings:
        """Unit vectors [B, D] of both heads for normalised clips [B, 3, T, H, W] on the embedder's device."""
        return self._encode(views)[1]

    def _encode(self, views: Tensor) -> tuple[Tensor, Embeddings]:
        """Feature maps, and the heads' vectors (of length 0 for a method without the two heads)."""
        joined = joins_stages(self.descriptor)
        encode = self._network.forward_described if joined else self._network.forward_features
        maps = encode(views.to(self._dtype))
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            nothing = maps.new_zeros(len(maps), 0, dtype=torch.float32)
            if not isinstance(self.model, RSPNet):
                return maps, Embeddings(nothing, nothing)
            return maps, self.model.encoder_q.embed_features(maps)


def _checked_rate(fps: float | None) -> float | None:
    """A rate in frames a second, None for native frames."""
    if fps is None:
        return None
    if not isinstance(fps, Real) or not 0 <= fps < math.inf:
        raise ConfigError(f"fps {fps!r}: must be a number of frames a second, or 0 for native frames")
    return float(fps) or None
