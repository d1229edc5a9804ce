"""A video's vector: against slow twins; order, scale and number of clips."""

import numpy as np
import pytest
from reference import descriptor_reference
from reference.descriptor_reference import described

from rspnet.features.descriptor import describe, descriptor_length, standardised

KINDS = ["mean", "mean_std", "mean_std_change"]
CLIPS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32) * 3 + 1


@pytest.mark.parametrize("descriptor", KINDS)
def test_twin(descriptor: str) -> None:
    found = describe(CLIPS, descriptor)
    assert found.dtype == np.float32
    assert len(found) == descriptor_length(5, descriptor)
    np.testing.assert_allclose(found, described(CLIPS.tolist(), descriptor), rtol=1e-6)
    one = describe(CLIPS[:1], descriptor)
    np.testing.assert_array_equal(one, np.float32(described(CLIPS[:1].tolist(), descriptor)))


@pytest.mark.parametrize("descriptor", KINDS)
def test_scale_passes_through_and_only_change_asks_for_the_order(descriptor: str) -> None:
    found = describe(CLIPS, descriptor)
    scale = 4.0 if descriptor != "mean_std_change" else 2.0  # there the root of the length is divided out
    np.testing.assert_allclose(describe(4 * CLIPS, descriptor), scale * found, rtol=1e-6)
    np.testing.assert_allclose(describe(CLIPS[::-1], descriptor), found, rtol=1e-6)  # backwards
    shuffled = describe(CLIPS[np.random.default_rng(1).permutation(len(CLIPS))], descriptor)
    np.testing.assert_allclose(shuffled[:10], found[:10], rtol=1e-5)
    assert not np.isclose(shuffled[10:], found[10:], rtol=0.01).any()


def test_a_shift_moves_the_mean_alone() -> None:
    one, two = describe(CLIPS, "mean_std_change"), describe(CLIPS + 10, "mean_std_change")
    np.testing.assert_allclose(two[:5], (mean := CLIPS.mean(axis=0) + 10) / np.linalg.norm(mean) ** 0.5, rtol=1e-5)
    np.testing.assert_allclose(two[5:], one[5:], rtol=1e-4)


def test_every_part_is_as_long_as_the_root_of_its_length() -> None:
    parts = describe(CLIPS, "mean_std_change").reshape(3, 5)
    plain = describe(CLIPS, "mean_std").reshape(2, 5)
    np.testing.assert_allclose(np.linalg.norm(parts[:2], axis=1), np.sqrt(np.linalg.norm(plain, axis=1)), rtol=1e-6)
    assert not describe(np.zeros((3, 5), np.float32), "mean_std_change").any()


def test_one_clip_does_not_vary() -> None:
    np.testing.assert_array_equal(describe(CLIPS[:1], "mean_std"), np.concatenate([CLIPS[0], np.zeros(5)]))


@pytest.mark.parametrize("descriptor", KINDS[1:])
def test_standardised_over_the_gallery(descriptor: str) -> None:
    gallery, queries = CLIPS[:5], CLIPS[5:]
    found = standardised(gallery, queries, descriptor)
    twins = descriptor_reference.standardised(gallery.tolist(), queries.tolist())
    for part, wanted in zip(found, twins, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-5, atol=1e-6)
    kept = standardised(gallery, queries, "mean")
    np.testing.assert_array_equal(kept[0], gallery)
    np.testing.assert_array_equal(kept[1], queries)


def test_a_number_that_never_varies_in_the_gallery_is_no_division_by_zero() -> None:
    gallery = CLIPS.copy()
    gallery[:, 2] = 1.5
    near, asked = standardised(gallery, gallery, "mean_std")
    assert np.isfinite(near).all()
    assert not near[:, 2].any()
    assert not asked[:, 2].any()
