"""Spaces of windows against plain loops: what is compared, in which order it does not matter, and what it costs."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from reference.descriptor_reference import described

from rspnet.features.descriptor import Descriptor
from rspnet.features.spaces import (
    Stream,
    shortened,
    space_lengths,
    stream_channels,
    unit_rows,
    usual_clips,
    window_spaces,
)
from rspnet.models.registry import create_backbone


def drawn(clips: int, *, windows: int = 3, features: int = 352) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = (features, 8, 8)
    found = [rng.random((windows * clips, size)).astype(np.float32) for size in shapes]
    return found[0], found[1], found[2]


def plain_cosine(a: np.ndarray, b: np.ndarray) -> float:
    dot = sum(p * q for p, q in zip(a.tolist(), b.tolist(), strict=True))
    return float(dot / (sum(p * p for p in a.tolist()) * sum(q * q for q in b.tolist())) ** 0.5)


def test_channels_of_the_streams_are_told_apart() -> None:
    backbone = create_backbone("two_stream_slim", input="difference")
    for early, added in ((False, []), (True, list(range(352, 736)))):
        channels = {name: stream_channels(backbone, name, early=early).tolist() for name in get_args(Stream)}
        assert channels["motion"] == [*range(256), *added]
        assert channels["appearance"] == list(range(256, 352))
        assert sorted(channels["both"]) == sorted(channels["motion"] + channels["appearance"])


@pytest.mark.parametrize(("clips", "descriptor"), [(1, "mean"), (3, "mean_std"), (3, "mean_std_change")])
def test_two_streams_compare_their_own_features(clips: int, descriptor: Descriptor) -> None:
    backbone = create_backbone("two_stream_slim", input="difference")
    early = backbone.num_early if descriptor == "mean_std_change" else 0
    found = drawn(clips, features=352 + early)
    spaces = window_spaces(found, backbone=backbone, clips=clips, descriptor=descriptor)
    lengths = space_lengths(backbone, dim=8, descriptor=descriptor)
    assert (spaces.motion.shape, spaces.appearance.shape) == ((3, lengths[0]), (3, lengths[1]))
    for vectors in spaces:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    first, second = (found[0][k * clips : (k + 1) * clips] for k in (0, 1))
    moving = [*range(256), *range(352, 352 + early)]
    plain = plain_cosine(*(np.array(described(clip[:, moving].tolist(), descriptor)) for clip in (first, second)))
    # Random signs add an error of 1 / sqrt(512) to what they make short; what is short already is exact.
    assert float(spaces.motion[0] @ spaces.motion[1]) == pytest.approx(plain, abs=0.1 if early else 1e-5)
    plain = plain_cosine(first[:, 256:352].mean(axis=0), second[:, 256:352].mean(axis=0))
    assert float(spaces.appearance[0] @ spaces.appearance[1]) == pytest.approx(plain, abs=1e-5)


def test_shortened_vectors_keep_their_cosines_and_are_the_same_everywhere() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(1, 1920))
    long = unit_rows(common + rng.normal(size=(40, 1920)) * np.linspace(0.1, 3, 40)[:, None])
    short = shortened(long)
    assert short.shape == (40, 512)
    wrong = unit_rows(short) @ unit_rows(short).T - long @ long.T
    assert 0.01 < wrong[np.triu_indices(40, 1)].std() < 2 / 512**0.5
    np.testing.assert_array_equal(shortened(long[:, :512]), long[:, :512])
    # A library is searched by other processes and machines than made it: the signs must never change.
    one = shortened(np.eye(1, 1920, dtype=np.float32))[0, :8] * 512**0.5
    assert np.sign(one).astype(int).tolist() == [-1, -1, -1, 1, -1, -1, 1, -1]


def test_a_windows_clips_may_come_backwards_and_how_they_vary_counts() -> None:
    backbone = create_backbone("two_stream_slim", input="difference")
    found = drawn(3, features=352 + backbone.num_early)
    turned = tuple(part.reshape(3, 3, -1)[:, ::-1].reshape(9, -1) for part in found)
    still = tuple(np.repeat(part.reshape(3, 3, -1).mean(axis=1), 3, axis=0) for part in found)
    spaces, other, same = (
        window_spaces(part, backbone=backbone, clips=3, descriptor="mean_std_change")  # type: ignore[arg-type]
        for part in (found, turned, still)
    )
    np.testing.assert_allclose(spaces.motion, other.motion, atol=1e-6)
    assert (spaces.motion * same.motion).sum(axis=1).max() < 0.9
    np.testing.assert_allclose(spaces.appearance, same.appearance, atol=1e-6)


def test_one_feature_map_for_both_is_compared_by_its_heads() -> None:
    backbone = create_backbone("r3d_10_slim", input="difference")
    found = drawn(2, features=backbone.num_features)
    spaces = window_spaces(found, backbone=backbone, clips=2, descriptor="mean_std")
    for vectors, head in zip(spaces, (found[2], found[1]), strict=True):
        means = (head[::2] + head[1::2]) / 2
        np.testing.assert_allclose(vectors, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    assert space_lengths(backbone, dim=8, descriptor="mean_std") == (8, 8)
    assert (usual_clips(backbone), usual_clips(create_backbone("two_stream_slim", input="difference"))) == (1, 3)
