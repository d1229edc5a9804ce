"""Videos as points in the plane."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from rspnet.core.errors import ConfigError
from rspnet.search.library_map import lay_out, methods


def test_pca_is_that_of_the_singular_value_decomposition():
    vectors = np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32) * [5, 3, 1, 1, 1, 1]
    layout = lay_out(vectors.astype(np.float32), "PCA")
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    shares = values**2 / (values**2).sum()
    assert layout.explained == pytest.approx(tuple(shares[:2]), rel=1e-4)
    for axis in range(2):
        expected = left[:, axis] * values[axis]
        expected = (expected - expected.min()) / np.ptp(expected)
        mine = layout.points[:, axis]
        assert np.allclose(mine, expected, atol=1e-4) or np.allclose(mine, 1 - expected, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_or_equal_videos_have_places_too(count):
    for vectors in (np.ones((count, 4), np.float32), np.eye(count, 4, dtype=np.float32)):
        points = lay_out(vectors, "PCA").points
        assert points.shape == (count, 2)
        assert np.isfinite(points).all()
        assert (points.min() >= 0) & (points.max() <= 1)


def test_umap_is_offered_and_used_where_it_is_installed(monkeypatch):
    class Umap:
        def __init__(self, **settings):
            assert settings["random_state"] == 0
            assert settings["n_neighbors"] == 5

        def fit_transform(self, vectors):
            return vectors[:, :2] * 3 + 1

    module = ModuleType("umap")
    module.__spec__ = sys.__spec__
    module.UMAP = Umap
    monkeypatch.setitem(sys.modules, "umap", module)
    assert methods() == ("PCA", "UMAP")
    vectors = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    layout = lay_out(vectors, "UMAP")
    span = np.ptp(vectors[:, :2], axis=0)
    np.testing.assert_allclose(layout.points, (vectors[:, :2] - vectors[:, :2].min(axis=0)) / span, atol=1e-5)
    assert layout.explained is None


def test_without_umap_only_pca_is_offered(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert methods() == ("PCA",)
    with pytest.raises(ConfigError, match="pip install umap-learn"):
        lay_out(np.zeros((9, 3), np.float32), "UMAP")
