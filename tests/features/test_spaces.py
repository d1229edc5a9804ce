"""Spaces of windows against plain loops: what is compared, in which order it does not matter, and what it costs."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from rspnet.features.spaces import Stream, space_lengths, stream_channels, usual_clips, window_spaces
from rspnet.models.registry import create_backbone


def drawn(clips: int, *, windows: int = 3, features: int = 352) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = (features, 8, 8)
    found = [rng.random((windows * clips, size)).astype(np.float32) for size in shapes]
    return found[0], found[1], found[2]


def plain_cosine(a: list[np.ndarray], b: list[np.ndarray], *, spread: bool) -> float:
    """Mean of the cosines of the means and (with `spread`) of the deviations of two windows' clips, by loops."""

    def moments(clips: list[np.ndarray]) -> list[list[float]]:
        columns = list(zip(*[clip.tolist() for clip in clips], strict=True))
        means = [sum(column) / len(column) for column in columns]
        deviations = [
            (sum((value - mean) ** 2 for value in column) / len(column)) ** 0.5
            for column, mean in zip(columns, means, strict=True)
        ]
        return [means, deviations] if spread else [means]

    def cosine(x: list[float], y: list[float]) -> float:
        dot = sum(p * q for p, q in zip(x, y, strict=True))
        return dot / (sum(p * p for p in x) * sum(q * q for q in y)) ** 0.5

    pairs = list(zip(moments(a), moments(b), strict=True))
    return sum(cosine(x, y) for x, y in pairs) / len(pairs)


def test_channels_of_the_streams_are_told_apart() -> None:
    backbone = create_backbone("two_stream_slim", input="difference")
    for early, added in ((False, []), (True, list(range(352, 480)))):
        channels = {name: stream_channels(backbone, name, early=early).tolist() for name in get_args(Stream)}
        assert channels["motion"] == [*range(256), *added]
        assert channels["appearance"] == list(range(256, 352))
        assert sorted(channels["both"]) == sorted(channels["motion"] + channels["appearance"])


@pytest.mark.parametrize("clips", [1, 3])
def test_two_streams_compare_their_own_features(clips: int) -> None:
    backbone = create_backbone("two_stream_slim", input="difference")
    found = drawn(clips)
    spaces = window_spaces(found, backbone=backbone, clips=clips)
    lengths = space_lengths(backbone, dim=8, clips=clips)
    assert (spaces.motion.shape, spaces.appearance.shape) == ((3, lengths[0]), (3, lengths[1]))
    np.testing.assert_allclose(np.linalg.norm(spaces.motion, axis=1), 1, atol=1e-6)
    first, second = (list(found[0][k * clips : (k + 1) * clips]) for k in (0, 1))
    streams = ((slice(0, 256), spaces.motion, clips > 1), (slice(256, 352), spaces.appearance, False))
    for channels, vectors, spread in streams:
        plain = plain_cosine([clip[channels] for clip in first], [clip[channels] for clip in second], spread=spread)
        assert float(vectors[0] @ vectors[1]) == pytest.approx(plain, abs=1e-5)


def test_the_order_of_a_windows_clips_does_not_count_but_how_they_vary_does() -> None:
    backbone = create_backbone("two_stream_slim", input="difference")
    found = drawn(3)
    turned = tuple(part.reshape(3, 3, -1)[:, ::-1].reshape(9, -1) for part in found)
    still = tuple(np.repeat(part.reshape(3, 3, -1).mean(axis=1), 3, axis=0) for part in found)
    spaces, other, same = (window_spaces(part, backbone=backbone, clips=3) for part in (found, turned, still))  # type: ignore[arg-type]
    np.testing.assert_allclose(spaces.motion, other.motion, atol=1e-6)
    assert (spaces.motion * same.motion).sum(axis=1).max() < 0.9
    np.testing.assert_allclose(spaces.appearance, same.appearance, atol=1e-6)


def test_one_feature_map_for_both_is_compared_by_its_heads() -> None:
    backbone = create_backbone("r3d_10_slim", input="difference")
    found = drawn(2, features=backbone.num_features)
    spaces = window_spaces(found, backbone=backbone, clips=2)
    for vectors, head in zip(spaces, (found[2], found[1]), strict=True):
        means = (head[::2] + head[1::2]) / 2
        np.testing.assert_allclose(vectors, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    assert space_lengths(backbone, dim=8, clips=2) == (8, 8)
    assert (usual_clips(backbone), usual_clips(create_backbone("two_stream_slim", input="difference"))) == (1, 3)
