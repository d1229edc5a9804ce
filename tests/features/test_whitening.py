"""Whitened comparison: against a slow twin; what it must not depend on; what it is for."""

import numpy as np
import pytest
from reference.whitening_reference import cosines

from rspnet.features.descriptor import standardised
from rspnet.features.whitening import comparable, compared_spaces, fit_whitening
from rspnet.models.registry import create_backbone

RNG = np.random.default_rng(5)


def drawn(rows: int, columns: int) -> np.ndarray:
    """Vectors whose numbers go together, and are of quite different sizes."""
    mixed = RNG.normal(size=(rows, columns)) @ np.random.default_rng(columns).normal(size=(columns, columns))
    return (mixed * np.geomspace(0.01, 100, columns) + 3).astype(np.float32)


@pytest.mark.parametrize(("rows", "columns"), [(60, 7), (7, 7), (6, 20), (2, 5), (1500, 4)])
def test_twin(rows: int, columns: int) -> None:
    gallery, queries = drawn(rows, columns), drawn(9, columns)
    near, asked = comparable(gallery, queries, "mean_std")
    np.testing.assert_allclose(np.linalg.norm(near, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(asked @ near.T, cosines(gallery, queries), atol=2e-5)


def test_the_published_descriptor_stays_as_it_is() -> None:
    gallery, queries = drawn(6, 4), drawn(3, 4)
    assert comparable(gallery, queries, "mean") == (gallery, queries)


def test_neither_scale_nor_shift_of_a_number_nor_the_order_of_the_gallery_counts() -> None:
    gallery, queries = drawn(30, 6), drawn(5, 6)
    wanted = fit_whitening(gallery)(queries) @ fit_whitening(gallery)(gallery).T
    scale, shift = np.float32([7, 0.1, 3, 1, 20, 0.5]), np.float32([0, 4, -9, 1, 0, 2])
    other = fit_whitening(gallery * scale + shift)
    np.testing.assert_allclose(other(queries * scale + shift) @ other(gallery * scale + shift).T, wanted, atol=1e-4)
    turned = fit_whitening(gallery[::-1])
    np.testing.assert_allclose(turned(queries), fit_whitening(gallery)(queries), atol=1e-5)


def test_few_directions_are_the_first_of_all() -> None:
    gallery = drawn(40, 8)
    whole, short = fit_whitening(gallery), fit_whitening(gallery, longest=3)
    assert short.axes.shape == (8, 3)
    np.testing.assert_array_equal(short.axes, whole.axes[:, :3])
    assert fit_whitening(gallery[:3], longest=8).axes.shape == (8, 2)  # three vectors differ along two directions


def test_a_direction_that_all_share_no_longer_drowns_what_tells_videos_apart() -> None:
    # Thirty numbers say how much moves, one says what is done.
    rng = np.random.default_rng(0)
    amount, kind = rng.normal(size=(400, 1)), np.arange(400)[:, None] % 2
    vectors = np.hstack([np.repeat(amount, 30, axis=1), 2.0 * kind - 1]) + rng.normal(size=(400, 31)) * 0.6
    gallery, queries, labels = vectors[:300].astype(np.float32), vectors[300:].astype(np.float32), kind[:, 0]
    right = {}
    for name, (near, asked) in {
        "standardised": standardised(gallery, queries, "mean_std"),
        "whitened": comparable(gallery, queries, "mean_std"),
    }.items():
        cosine = asked @ near.T / np.linalg.norm(near, axis=1)
        right[name] = float((labels[:300][cosine.argmax(axis=1)] == labels[300:]).mean())
    assert right["whitened"] >= right["standardised"] + 0.05


def test_a_number_that_never_varies_and_a_gallery_of_one_video() -> None:
    gallery = drawn(10, 5)
    gallery[:, 2] = 1.5
    queries = drawn(4, 5)
    near, asked = comparable(gallery, queries, "mean_std")
    assert np.isfinite(near).all()
    without = [np.delete(part, 2, axis=1) for part in (gallery, queries)]
    assert asked.shape == (4, 4)
    close = comparable(without[0], without[1], "mean_std")
    assert (asked @ near.T).argmax(axis=1).tolist() == (close[1] @ close[0].T).argmax(axis=1).tolist()
    alone = comparable(gallery[:1], queries, "mean_std")
    np.testing.assert_array_equal(alone[0], gallery[:1])
    np.testing.assert_array_equal(alone[1], queries)


def test_windows_are_compared_as_in_a_library_of_the_gallery() -> None:
    backbone = create_backbone("two_stream_slim", input="difference")
    gallery = {"features": drawn(40, 9), "motion": drawn(40, 4), "appearance": drawn(40, 5)}
    queries = {kind: vectors[:3] for kind, vectors in gallery.items()}
    near, asked = compared_spaces(gallery, queries, backbone)
    for found, others, kind in (
        (asked.motion, near.motion, "features"),
        (asked.appearance, near.appearance, "appearance"),
    ):
        np.testing.assert_allclose(found @ others.T, cosines(gallery[kind], queries[kind]), atol=2e-5)
    few = {kind: vectors[:31] for kind, vectors in gallery.items()}
    assert compared_spaces(few, queries, backbone)[0].motion is few["motion"]
    one_stream = create_backbone("r3d_10_slim", input="difference")
    assert compared_spaces(gallery, queries, one_stream)[1].appearance is queries["appearance"]
