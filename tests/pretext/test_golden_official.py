"""Published weights through our key map compute what the reference code does (shared/official/README.md).

Every network is filled once: its weights are some hundred megabytes of random numbers.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from helpers.official import ARCHS, filled_state, golden, layout, needs_official

from rspnet.models.heads import Embeddings
from rspnet.models.weights import LoadReport
from rspnet.pretext.pretrained import from_published
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

pytestmark = needs_official


TRAINED_IN = {
    "c3d": (torch.float32, 1e-4),
    "resnet18": (torch.float64, 1e-8),
    "r2plus1d-vcop": (torch.float32, 1e-4),
    "s3dg": (torch.float64, 1e-8),
}
"""In which format a training step is computed, and how near it comes: the large networks take a minute in float64."""


class Published(NamedTuple):
    arch: str
    model: RSPNet
    report: LoadReport


@pytest.fixture(scope="module", params=ARCHS)
def published(request: pytest.FixtureRequest) -> Iterator[Published]:
    """In float64, to be copied by whoever changes it."""
    queue_size = golden(request.param)["train"]["queue_size"]
    with torch.random.fork_rng():
        yield Published(
            request.param,
            *from_published(request.param, filled_state(request.param, queue_size=queue_size), source="test"),
        )


@pytest.mark.slow
def test_every_key_is_used_or_skipped_with_a_reason(published: Published) -> None:
    arch, model, report = published
    keys = [key for key, _, _ in layout(arch)]
    assert sorted([*report.used, *report.skipped]) == sorted(keys)
    assert len(report.used) == len(model.state_dict())
    assert len(report.skipped) == 4
    assert all(key.split(".")[2] in ("fc", "linear") and reason for key, reason in report.skipped.items())
    assert report.missing == ()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-4)])
def test_features_and_heads(published: Published, dtype: torch.dtype, tolerance: float) -> None:
    expected = golden(published.arch)
    assert published.model.queue.keys.dtype == torch.float64, "the file's precision is kept"
    encoder = copy.deepcopy(published.model.encoder_q).to(dtype).eval()
    clip = np.random.RandomState(expected["seed"]).standard_normal(expected["clip_shape"])
    with torch.no_grad():
        features = encoder.backbone.forward_features(torch.from_numpy(clip).to(dtype))
        embeddings = encoder.embed_features(features)
    assert list(features.shape) == expected["feature_shape"]
    close = {"rtol": tolerance, "atol": tolerance}
    np.testing.assert_allclose(features.mean((1, 2, 3, 4)), expected["feature_mean_per_sample"], **close)
    np.testing.assert_allclose(features.mean((2, 3, 4))[:, :8], expected["pooled_feature_head"], **close)
    np.testing.assert_allclose(embeddings.appearance[:, :8], expected["a_head"], **close)
    np.testing.assert_allclose(embeddings.motion[:, :8], expected["m_head"], **close)
    assert embeddings.motion.dtype == dtype


@pytest.mark.slow
def test_training_forward(published: Published) -> None:
    """Losses, cosines, queue and the gradients of the heads of one training step."""
    dtype, tolerance = TRAINED_IN[published.arch]
    expected = golden(published.arch)
    model = copy.deepcopy(published.model).to(dtype).train()
    keys: list[Embeddings] = []
    queries: list[Embeddings] = []
    model.encoder_k.register_forward_hook(lambda module, inputs, output: keys.append(output))
    model.encoder_q.register_forward_hook(lambda module, inputs, output: queries.append(output))

    out = model(SpeedViews(*(view.to(dtype) for view in _views(expected))))
    heads = (model.encoder_q.appearance_head.linear.weight, model.encoder_q.motion_head.linear.weight)
    gradients = torch.autograd.grad(out.loss, heads)  # there are golden numbers of these: not through the backbone

    expected = expected["train"]
    (query,), (other, same) = queries, keys
    found = {
        "loss": out.loss,
        "loss_a": out.appearance_loss,
        "loss_m": out.motion_loss,
        "a_positive_same_speed": (query.appearance * same.appearance).sum(1),
        "a_positive_other_speed": (query.appearance * other.appearance).sum(1),
        "m_positive": (query.motion * same.motion).sum(1),
        "m_negative": (query.motion * other.motion).sum(1),
        "queue_after_col0": model.queue.keys[0, :8],
        "queue_ptr": model.queue.position[0],
        "grad_fc1_norm": gradients[0].norm(),
        "grad_fc2_norm": gradients[1].norm(),
    }
    for name, value in found.items():
        np.testing.assert_allclose(value.detach().numpy(), expected[name], rtol=tolerance, atol=tolerance, err_msg=name)
    accuracy = np.mean(np.array(expected["m_positive"]) > np.array(expected["m_negative"]))
    assert out.motion_accuracy.item() == accuracy


def _views(expected: dict) -> SpeedViews:
    """Samples 0-1 play at speed 1, 2-3 at speed 2; the golden clip comes first from the same random state."""
    rs = np.random.RandomState(expected["seed"])
    rs.standard_normal(expected["clip_shape"])
    query, key = (torch.from_numpy(rs.standard_normal(expected["train"]["pair_shape"])) for _ in range(2))

    def play(clips: torch.Tensor, speeds: tuple[int, ...]) -> torch.Tensor:
        return torch.stack([clip[:, : 16 * speed : speed] for clip, speed in zip(clips, speeds, strict=True)])

    return SpeedViews(play(query, (1, 1, 2, 2)), play(key, (1, 1, 2, 2)), play(key, (2, 2, 1, 1)))
