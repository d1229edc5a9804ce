"""The two spaces in which windows of videos are searched: how they move, and how they look."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rspnet.features.descriptor import Descriptor, describe
from rspnet.models.backbone import Backbone

Vectors = NDArray[np.float32]
Stream = Literal["motion", "appearance", "both"]
_SEVERAL_CLIPS = 3


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


def space_lengths(backbone: Backbone, *, dim: int, clips: int) -> tuple[int, int]:
    """Lengths of the vectors of `window_spaces`; `dim` is that of the heads."""
    if not has_streams(backbone):
        return dim, dim
    motion, appearance = (len(range(*part.indices(backbone.num_features))) for part in _channels(backbone))
    return motion * (2 if clips > 1 else 1), appearance


def window_spaces(found: tuple[Vectors, Vectors, Vectors], *, backbone: Backbone, clips: int) -> Spaces:
    """Vectors of windows from those of their clips.

    Of a network with two streams: motion is the mean of the motion stream's features over the clips and their
    standard deviation, both made unit vectors first, so that its cosine is the mean of the two cosines; appearance is
    the mean of the other stream's features. (On the training videos of human-motion, one character's against the
    others', this finds the action in 49 of 100 searches, the mean vector of the RSP head in 35; how a look varies
    within a window says nothing of it.) Of any other network: the mean vectors of its heads, as the features behind
    both are the same.

    Args:
        found: features [n * clips, C], appearance and motion head vectors [n * clips, D], window after window.
        backbone: what made them.
        clips: of each window.
    """
    features, appearance, motion = found
    if not has_streams(backbone) or not motion.shape[1]:  # pre-trained without heads: nothing to search by
        return Spaces(_unit_means(motion, clips), _unit_means(appearance, clips))
    moving, looking = (_by_window(features[:, part], clips) for part in _channels(backbone))
    moments = [unit_rows(moving.mean(axis=1))]
    if clips > 1:
        moments.append(unit_rows(moving.std(axis=1)))
    return Spaces(unit_rows(np.concatenate(moments, axis=1)), unit_rows(looking.mean(axis=1)))


def search_spaces(
    found: tuple[Vectors, Vectors, Vectors], *, backbone: Backbone, clips: int, descriptor: Descriptor
) -> Spaces:
    """The same, and of a network without heads the descriptors of its features, made unit vectors, as both spaces."""
    spaces = window_spaces(found, backbone=backbone, clips=clips)
    if spaces.motion.shape[1]:
        return spaces
    windows = np.split(found[0], len(found[0]) // clips)
    own = unit_rows(np.stack([describe(window, descriptor) for window in windows]))
    return Spaces(own, own)


def _unit_means(vectors: Vectors, clips: int) -> Vectors:
    """Mean over each window's clips, made a unit vector again: [n * clips, D] -> [n, D]."""
    return unit_rows(_by_window(vectors, clips).mean(axis=1))


def _by_window(vectors: Vectors, clips: int) -> NDArray[np.float64]:
    return vectors.reshape(len(vectors) // clips, clips, vectors.shape[1]).astype(np.float64)


def _channels(backbone: Backbone) -> tuple[slice, slice]:
    return backbone.motion_channels, backbone.appearance_channels


def stream_channels(backbone: Backbone, stream: Stream, *, early: bool = False) -> NDArray[np.int64]:
    """Which of the backbone's channels a stream is (all of them for "both"); `early`: of `forward_described`."""
    places = np.arange(backbone.num_features + (backbone.num_early if early else 0))
    motion, appearance = (places[part] for part in _channels(backbone))
    added = places[backbone.num_features :]
    return {"motion": np.concatenate([motion, added]), "appearance": appearance, "both": places}[stream]


def unit_rows(vectors: NDArray[np.floating]) -> Vectors:
    """Vectors [n, D] made unit vectors; zero vectors stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
