"""One training forward and backward equals the reference code's (shared/official/README.md)."""

import numpy as np
import pytest
import torch
from helpers.official import ARCHS, filled_state, golden, needs_official

from rspnet.models.heads import Embeddings
from rspnet.models.weights import convert_published
from rspnet.pretext.pretrained import from_published
from rspnet.pretext.speed import SpeedViews

pytestmark = needs_official


@pytest.mark.parametrize("arch", ARCHS)
def test_training_forward(arch: str) -> None:
    expected = golden(arch)
    state = filled_state(arch, queue_size=expected["train"]["queue_size"])
    model = from_published(arch, state, source="test")[0].double()
    model.load_state_dict(convert_published(arch, state)[0])
    keys: list[Embeddings] = []
    queries: list[Embeddings] = []
    model.encoder_k.register_forward_hook(lambda module, inputs, output: keys.append(output))
    model.encoder_q.register_forward_hook(lambda module, inputs, output: queries.append(output))

    out = model(_views(expected))
    out.loss.backward()

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
        "grad_fc1_norm": model.encoder_q.appearance_head.linear.weight.grad.norm(),
        "grad_fc2_norm": model.encoder_q.motion_head.linear.weight.grad.norm(),
    }
    for name, value in found.items():
        np.testing.assert_allclose(value.detach().numpy(), expected[name], rtol=1e-8, atol=1e-8, err_msg=name)
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
