"""`--model.init`: a pre-training starts from other weights of its network, and refuses those of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_model import save_method_checkpoint, save_tiny_checkpoint

from rspnet.api.pretraining_plan import build_model
from rspnet.config.choice import PUBLISHED, SMALL, Circumstances, choose_settings
from rspnet.config.parser import is_undecided
from rspnet.config.pretrain import PairDataConfig, PretrainConfig
from rspnet.core.errors import RSPNetError
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet, RSPNetMethod


def built(init: Path | str, **model: Any) -> RSPNet:
    options = {"backbone": "r3d_10_slim", "input": "difference", "queue_size": 8, **model}
    config = PretrainConfig(data=PairDataConfig(root="videos"), model=RSPNetMethod(init=str(init), **options))
    found = build_model(config)
    assert isinstance(found, RSPNet)
    return found


def test_both_encoders_start_from_the_query_encoder_of_the_shipped_weights() -> None:
    model, small = built("rspnet-small", backbone="two_stream_slim"), load_pretrained("rspnet-small")
    assert isinstance(small, RSPNet)
    for encoder in (model.encoder_q, model.encoder_k):
        for name, value in small.encoder_q.state_dict().items():
            assert torch.equal(encoder.state_dict()[name], value), name
    assert "init" not in model.config


@pytest.mark.parametrize(
    ("options", "message"),
    [({"input": "rgb"}, "has input difference, not --model.input rgb"), ({}, "has feature_dim 16, not head vectors")],
)
def test_weights_of_another_network_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RSPNetError, match=message):
        built(save_tiny_checkpoint(tmp_path / "tiny.ckpt"), **options)


def test_weights_without_heads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RSPNetError, match=r"pretrain --model\.init"):
        built(save_method_checkpoint(tmp_path / "pace.ckpt", "pace"))


def test_weights_to_start_from_leave_the_settings_to_be_chosen_and_choose_their_recipe() -> None:
    assert is_undecided(PretrainConfig, ["data.root", "model.init"])
    recipes = [choose_settings(Circumstances(10**6, 300, "cuda", adapts)).recipe for adapts in (False, True)]
    assert recipes == [PUBLISHED, SMALL]
