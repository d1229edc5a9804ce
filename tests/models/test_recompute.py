"""Activation checkpointing changes memory, not results."""

import copy

import pytest
import torch
from helpers.networks import DISTINCT, short_backbone

from rspnet.engine.memory import saved_activation_bytes
from rspnet.engine.runtime import has_native_bf16
from rspnet.models import backbone as base
from rspnet.models.registry import create_backbone


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_outputs_gradients_and_statistics_are_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    plain = short_backbone(name, monkeypatch)
    saving = copy.deepcopy(plain)
    saving.recompute = True
    clips = torch.randn(2, 3, 4, 32, 32)
    outputs = []
    for backbone in (plain, saving):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_native_bf16(torch.device("cpu"))):
            out = backbone(clips)
        out.float().square().sum().backward()
        outputs.append(out)
    assert torch.equal(*outputs)
    for (key, first), second in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(first.grad, second.grad), key
    for (key, once), again in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(once, again), key  # running statistics: updated once, not once more in the second run


@pytest.mark.parametrize("name", ["r3d_18", "c3d", "r2plus1d_vcop", "s3dg"])
def test_less_is_kept(name: str) -> None:
    backbone = create_backbone(name)
    before = saved_activation_bytes(backbone, (3, 16, 112, 112))
    backbone.recompute = True
    after = saved_activation_bytes(backbone, (3, 16, 112, 112))
    print(name, before / 2**20, after / 2**20, after / before)
    assert after < 0.8 * before


@pytest.mark.parametrize(("training", "gradients"), [(False, True), (True, False)])
def test_nothing_is_recomputed_where_no_training_step_is_run(
    training: bool, gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("checkpointed")

    monkeypatch.setattr(base, "run_and_forget", fail)
    backbone = create_backbone("r3d_10_slim").train(training)
    backbone.recompute = True
    with torch.set_grad_enabled(gradients):
        backbone(torch.randn(2, 3, 4, 32, 32))
    with pytest.raises(AssertionError, match="checkpointed"):
        backbone.train()(torch.randn(2, 3, 4, 32, 32))
