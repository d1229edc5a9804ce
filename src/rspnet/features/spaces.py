"""The two spaces in which windows of videos are searched: how they move, and how they look."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng
from rspnet.features.descriptor import Descriptor, describe, descriptor_length, joins_stages
from rspnet.models.backbone import Backbone

Vectors = NDArray[np.float32]
Stream = Literal["motion", "appearance", "both"]
_SEVERAL_CLIPS = 3
_LONGEST = 512
"""Numbers of a vector that windows are searched by."""


class Spaces(NamedTuple):
    """Unit vectors of windows: motion [n, M] and appearance [n, A]."""

    motion: Vectors
    appearance: Vectors


def has_streams(backbone: Backbone) -> bool:
    """Whether each space is a stream of the network's own, and not a head on one feature map for both."""
    return backbone.motion_channels != backbone.appearance_channels


def usual_clips(backbone: Backbone) -> int:
    """Clips of a window where nobody named a number: several where their spread counts."""
    return _SEVERAL_CLIPS if has_streams(backbone) else 1


def space_lengths(backbone: Backbone, *, dim: int, descriptor: Descriptor) -> tuple[int, int]:
    """Lengths of the vectors of `window_spaces`; `dim` is that of the heads."""
    if not has_streams(backbone):
        return dim, dim
    motion = described_channels(backbone, "motion", descriptor)
    length = min(descriptor_length(len(motion), descriptor), _LONGEST)
    return length, len(stream_channels(backbone, "appearance"))


def window_spaces(
    found: tuple[Vectors, Vectors, Vectors], *, backbone: Backbone, clips: int, descriptor: Descriptor
) -> Spaces:
    """Vectors of windows from those of their clips.

    Of a network with two streams: motion is the descriptor of the motion stream's features, made short (`shortened`)
    and a unit vector; appearance is the mean of the other stream's features (how a look varies within a window says
    nothing of it). Of any other network: the mean vectors of its heads, as the features behind both are the same.

    Args:
        found: features [n * clips, C] as descriptors are made of, appearance and motion head vectors [n * clips, D],
            window after window.
        backbone: what made them.
        clips: of each window.
        descriptor: see `rspnet.features.descriptor`.
    """
    features, appearance, motion = found
    if not has_streams(backbone) or not motion.shape[1]:  # pre-trained without heads: nothing to search by
        return Spaces(_unit_means(motion, clips), _unit_means(appearance, clips))
    moving = described_channels(backbone, "motion", descriptor)
    looking = stream_channels(backbone, "appearance")
    described = _described(features[:, moving], clips, descriptor)
    return Spaces(motion_of(described), _unit_means(features[:, looking], clips))


def motion_of(descriptors: Vectors) -> Vectors:
    """The vectors of motion [n, M] of windows, from the descriptors [n, D] of the motion stream's features."""
    return unit_rows(shortened(unit_rows(descriptors)))


def search_spaces(
    found: tuple[Vectors, Vectors, Vectors], *, backbone: Backbone, clips: int, descriptor: Descriptor
) -> Spaces:
    """The same, and of a network without heads the descriptors of its features, made unit vectors, as both spaces."""
    spaces = window_spaces(found, backbone=backbone, clips=clips, descriptor=descriptor)
    if spaces.motion.shape[1]:
        return spaces
    own = _described(found[0], clips, descriptor)
    return Spaces(own, own)


def shortened(vectors: Vectors) -> Vectors:
    """Vectors [n, D] as they are, or, of more than 512 numbers, their products with 512 fixed vectors of random signs.

    Cosines of the products are those of the vectors, plus an error of about 1 / sqrt(512) (Achlioptas 2003): a library
    takes a quarter of the space and a search a quarter of the time.

    NOTE: by torch, which is told how many threads it has: after a product of NumPy for each video the threads of its
    BLAS waited awake, a third of the CPU time of embed on two cores.
    """
    length = vectors.shape[1]
    if length <= _LONGEST:
        return vectors
    products = torch.from_numpy(np.asarray(vectors, np.float64)) @ torch.from_numpy(_signs(length))
    return np.asarray(products.numpy() / np.sqrt(_LONGEST), np.float32)


@cache
def _signs(length: int) -> NDArray[np.float64]:
    """[length, 512] of -1 and 1, the same in every process."""
    drawn = numpy_rng("signs of the motion space", length).integers(0, 2, (length, _LONGEST))
    return np.asarray(2 * drawn - 1, np.float64)


def _described(features: Vectors, clips: int, descriptor: Descriptor) -> Vectors:
    """Descriptors of each window's clips as unit vectors: [n * clips, C] -> [n, D]."""
    return unit_rows(np.stack([describe(window, descriptor) for window in np.split(features, len(features) // clips)]))


def _unit_means(vectors: Vectors, clips: int) -> Vectors:
    """Mean over each window's clips, made a unit vector again: [n * clips, D] -> [n, D]."""
    windows = vectors.reshape(len(vectors) // clips, clips, vectors.shape[1]).astype(np.float64)
    return unit_rows(windows.mean(axis=1))


def stream_channels(backbone: Backbone, stream: Stream, *, early: bool = False) -> NDArray[np.int64]:
    """Which of the backbone's channels a stream is (all of them for "both"); `early`: of `forward_described`."""
    places = np.arange(backbone.num_features + (backbone.num_early if early else 0))
    motion, appearance = (places[part] for part in (backbone.motion_channels, backbone.appearance_channels))
    added = places[backbone.num_features :]
    return {"motion": np.concatenate([motion, added]), "appearance": appearance, "both": places}[stream]


def described_channels(backbone: Backbone, stream: Stream, descriptor: Descriptor) -> NDArray[np.int64]:
    """Which channels a descriptor of a stream is made of: of `forward_described` where it joins stages."""
    return stream_channels(backbone, stream, early=joins_stages(descriptor))


def unit_rows(vectors: NDArray[np.floating]) -> Vectors:
    """Vectors [n, D] made unit vectors; zero vectors stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
