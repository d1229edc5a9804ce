"""The baselines' modules: NumPy twins, gradients, virtual ranks, eval mode, checkpoints, refusals."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_model import save_method_checkpoint
from reference import pretext_reference
from torch.nn.functional import normalize

from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.pretext.base import PretextModel
from rspnet.pretext.classification import ClipClassification
from rspnet.pretext.create import create_method, require_heads
from rspnet.pretext.moco import MoCo
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import ClipViews

NUM_CLIPS = {"pace": 1, "speednet": 1, "moco": 2, "order": 3}
NUM_CLASSES = {"pace": 3, "speednet": 2, "order": 6}


def make_model(method: str, **changes: Any) -> PretextModel:
    torch.manual_seed(0)
    own: dict[str, Any] = {"queue_size": 10, "feature_dim": 16, "head": "mlp"}
    if method != "moco":
        own = {"num_classes": NUM_CLASSES[method], "num_clips": NUM_CLIPS[method]}
    config = {"method": method, "backbone": "r3d_10_slim", "num_frames": 4, "size": 16, **own, **changes}
    return create_method(config).double()


def make_views(method: str, batch: int = 4, *, seed: int = 0) -> ClipViews:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, 3, 4, 16, 16)
    clips = tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(NUM_CLIPS[method]))
    return ClipViews(clips, torch.arange(batch) % NUM_CLASSES.get(method, 1))


@pytest.mark.parametrize("method", NUM_CLASSES)
def test_classification_equals_its_twin(method: str) -> None:
    model, views = make_model(method), make_views(method, 6)
    with torch.no_grad():
        scores = model.trained(torch.cat(views.clips)).numpy()
    model = make_model(method)  # running statistics as before
    out = model(views)
    assert out.loss.item() == pytest.approx(pretext_reference.cross_entropy(scores, views.label.numpy()), rel=1e-10)
    assert out.accuracy.item() == pytest.approx(float(np.mean(scores.argmax(axis=1) == views.label.numpy())))


def test_order_scores_are_made_of_pairs() -> None:
    """By hand from the features: hidden layer on each pair of clips, then the last layer on all pairs."""
    model, views = make_model("order").eval(), make_views("order", 2)
    network = model.trained
    with torch.no_grad():
        first, second, third = (model.backbone(clip).mean(dim=(2, 3, 4)).numpy() for clip in views.clips)
        found = network(torch.cat(views.clips)).numpy()
    weight, bias = (value.detach().numpy() for value in (network.hidden.weight, network.hidden.bias))
    pairs = [(first, second), (first, third), (second, third)]
    hidden = [np.maximum(0, np.concatenate(pair, axis=1) @ weight.T + bias) for pair in pairs]
    last = network.linear.weight.detach().numpy(), network.linear.bias.detach().numpy()
    np.testing.assert_allclose(found, np.concatenate(hidden, axis=1) @ last[0].T + last[1], rtol=1e-9)


def test_moco_equals_its_twin_and_queues_its_keys() -> None:
    model, views = make_model("moco", momentum=0.5), make_views("moco")
    assert isinstance(model, MoCo)
    with torch.no_grad():
        for parameter in model.encoder_q.parameters():
            parameter.mul_(1.01)
    key_weight, query_weight = (
        e.head.linear.weight.numpy(force=True).copy() for e in (model.encoder_k, model.encoder_q)
    )
    negatives = model.queue.keys.numpy().copy()
    query = make_like(model.encoder_q, views.clips[0])
    out = model(views)
    np.testing.assert_allclose(
        model.encoder_k.head.linear.weight.numpy(force=True),
        pretext_reference.momentum_update(key_weight, query_weight, 0.5),
    )
    key = make_like(model.encoder_k, views.clips[1])
    assert out.loss.item() == pytest.approx(pretext_reference.info_nce(query, key, negatives, 0.07), rel=1e-9)
    before = pretext_reference.negatives_before_positive(query, key, negatives)
    assert (out.top1.item(), out.top5.item()) == (np.mean(np.array(before) < 1), np.mean(np.array(before) < 5))
    np.testing.assert_allclose(model.queue.keys[:4].numpy(), key, rtol=1e-9)
    out.loss.backward()
    assert all(parameter.grad is None for parameter in model.encoder_k.parameters())


def make_like(encoder: torch.nn.Module, clips: torch.Tensor) -> np.ndarray:
    """What an encoder gives in train mode (batch statistics), normalised once more as a check of unit length."""
    with torch.no_grad():
        vectors = encoder(clips)
    torch.testing.assert_close(vectors, normalize(vectors, dim=1))
    return vectors.numpy()


@pytest.mark.parametrize("method", NUM_CLIPS)
def test_gradients_are_those_of_finite_differences(method: str) -> None:
    model, views = make_model(method).eval(), make_views(method)
    model(views).loss.backward()
    weights = [p for p in model.trained.parameters() if p.dim() > 1]
    generator = torch.Generator().manual_seed(1)
    for weight in (weights[0], weights[-1]):
        direction = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        expected = float((weight.grad * direction).sum())
        found = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.add_(direction, alpha=sign * 1e-6)
                found.append(model(views).loss.item())
                weight.sub_(direction, alpha=sign * 1e-6)
        assert (found[0] - found[1]) / 2e-6 == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("method", NUM_CLIPS)
def test_accumulated_virtual_ranks_equal_the_mean_forward(method: str) -> None:
    views = make_views(method, 6)
    by_group, at_once = (make_model(method, virtual_ranks=3) for _ in range(2))
    for out in by_group.group_outputs(views, step_seed=7):
        (out.loss / 3).backward()
        for item in fields(out):
            value = getattr(out, item.name)
            assert value.dim() == 0
            assert value.requires_grad == (item.name == "loss")
    by_group.finish_step()
    at_once(views, step_seed=7).loss.backward()
    for first, second in zip(by_group.trained.parameters(), at_once.trained.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-8, atol=1e-10)
    for key, value in by_group.state_dict().items():
        torch.testing.assert_close(value, at_once.state_dict()[key], msg=key)
    one_group = make_model(method)
    assert one_group(views, step_seed=7).loss.item() != pytest.approx(at_once(views, step_seed=7).loss.item())
    with pytest.raises(ConfigError, match="batch of 4 clips does not split into virtual_ranks 3"):
        next(at_once.group_outputs(make_views(method, 4), step_seed=0))


@pytest.mark.parametrize("method", NUM_CLIPS)
def test_eval_mode_changes_nothing(method: str) -> None:
    model, views = make_model(method).eval(), make_views(method)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(views)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("method", NUM_CLIPS)
def test_checkpoints_of_every_method_open_again(method: str, tmp_path: Path) -> None:
    path = save_method_checkpoint(tmp_path / "last.ckpt", method)
    model = load_pretrained(path)
    assert model.config["method"] == method
    assert create_method(model.config).config == model.config
    assert not model.training
    assert isinstance(model, MoCo if method == "moco" else ClipClassification)
    assert model.backbone.forward_features(torch.randn(1, 3, 4, 32, 32)).shape[1] == model.backbone.num_features
    with pytest.raises(CheckpointError, match=f"search needs the motion and the appearance head.*{method!r}"):
        require_heads(model, task="search")


def test_models_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown pretext method 'byol'"):
        create_method({"method": "byol", "backbone": "r3d_10_slim"})
    with pytest.raises(ConfigError, match="1 class of 1 clip leaves nothing"):
        make_model("pace", num_classes=1)
    with pytest.raises(ConfigError, match="temperature is 0"):
        make_model("moco", temperature=0)
    assert isinstance(create_method({"backbone": "r3d_10_slim", "queue_size": 4}), RSPNet)
