"""Published weights through our key map give the reference code's features (shared/official/README.md)."""

import numpy as np
import pytest
import torch
from helpers.official import ARCHS, filled_state, golden, layout, needs_official

from rspnet.pretext.pretrained import from_published

pytestmark = needs_official


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-4)])
def test_features_and_heads(arch: str, dtype: torch.dtype, tolerance: float) -> None:
    expected = golden(arch)
    with torch.random.fork_rng():
        model, _ = from_published(arch, filled_state(arch), source="test")
    assert model.queue.keys.dtype == torch.float64, "the file's precision is kept"
    model = model.to(dtype).eval()
    clip = np.random.RandomState(expected["seed"]).standard_normal(expected["clip_shape"])
    with torch.no_grad():
        features = model.backbone.forward_features(torch.from_numpy(clip).to(dtype))
        embeddings = model.encoder(torch.from_numpy(clip).to(dtype))
    assert list(features.shape) == expected["feature_shape"]
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(features.mean((1, 2, 3, 4)), expected["feature_mean_per_sample"], **close)
    np.testing.assert_allclose(features.mean((2, 3, 4))[:, :8], expected["pooled_feature_head"], **close)
    np.testing.assert_allclose(embeddings.appearance[:, :8], expected["a_head"], **close)
    np.testing.assert_allclose(embeddings.motion[:, :8], expected["m_head"], **close)
    assert embeddings.motion.dtype == dtype


@pytest.mark.parametrize("arch", ARCHS)
def test_every_key_is_used_or_skipped_with_a_reason(arch: str) -> None:
    model, report = from_published(arch, filled_state(arch), source="test")
    keys = [key for key, _, _ in layout(arch)]
    assert sorted([*report.used, *report.skipped]) == sorted(keys)
    assert len(report.used) == len(model.state_dict())
    assert len(report.skipped) == 4
    assert all(key.split(".")[2] in ("fc", "linear") and reason for key, reason in report.skipped.items())
    assert report.missing == ()
