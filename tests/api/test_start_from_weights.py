"""`--weights`: a pre-training starts from other weights of its network, and refuses those of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.narrow import NARROW
from helpers.tiny_model import save_method_checkpoint, save_tiny_checkpoint

from rspnet.api import chosen_options
from rspnet.api.pretraining_plan import build_model
from rspnet.cli import choose_the_rest, parse
from rspnet.config.choice import PUBLISHED, SMALL, Circumstances, choose_settings
from rspnet.config.parser import is_undecided
from rspnet.config.pretrain import PairDataConfig, PretrainConfig
from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.pretext import pretrained
from rspnet.pretext.pretrained import config_of_weights, load_pretrained
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.rspnet_method import RSPNetMethod


def built(weights: Path | str, **model: Any) -> RSPNet:
    options = {"backbone": NARROW, "input": "difference", "queue_size": 8, **model}
    config = PretrainConfig(data=PairDataConfig(root="videos"), weights=str(weights), model=RSPNetMethod(**options))
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
    with pytest.raises(RSPNetError, match="pretrain --weights"):
        built(save_method_checkpoint(tmp_path / "pace.ckpt", "pace"))


def test_weights_to_start_from_leave_the_settings_to_be_chosen_and_choose_their_recipe() -> None:
    assert is_undecided(PretrainConfig, ["data.root", "weights"])
    recipes = [choose_settings(Circumstances(10**6, 300, "cuda", adapts)).recipe for adapts in (False, True)]
    assert recipes == [PUBLISHED, SMALL]


def chosen(words: list[str]) -> Any:
    config = parse("pretrain", words)
    return choose_the_rest("pretrain", words, config)


@pytest.mark.slow
def test_network_and_clips_are_those_of_the_weights_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen_options, "find_videos", lambda root, _list: [VideoRecord(Path(root), "v")] * 40)
    monkeypatch.setattr(chosen_options, "short_length", lambda *_args, **_options: 300)
    weights = f"--weights={save_tiny_checkpoint(tmp_path / 'tiny.ckpt')}"
    tiny = load_pretrained(tmp_path / "tiny.ckpt").config
    assert config_of_weights(tmp_path / "tiny.ckpt") == tiny
    monkeypatch.setattr(pretrained, "create_method", lambda _config: pytest.fail("a network is made only to train it"))
    config = chosen(["videos", weights, "--max_steps=7", "--engine.device=cpu"])
    assert (config.model.backbone, config.model.input, config.model.head) == tuple(
        tiny[name] for name in ("backbone", "input", "head")
    )
    assert (config.data.num_frames, config.data.size, config.data.base_speed) == (
        tiny["num_frames"], tiny["size"], tiny["stride"],
    )  # fmt: skip
    assert (config.max_steps, config.model.queue_size, config.data.batch_size) == (7, 10, 16)  # the rest is chosen
    assert chosen(["videos", weights, "--data.size=32", "--engine.device=cpu"]).data.size == 32
    small = chosen(["videos", "--weights=rspnet-small", "--max_steps=7", "--engine.device=cpu"])
    assert (small.model.backbone, small.data.size, small.data.speeds) == ("two_stream_slim", 48, (4,))


def test_a_fine_tuning_has_the_clips_of_its_weights_unless_told(tmp_path: Path) -> None:
    words = ["set", f"--weights={save_tiny_checkpoint(tmp_path / 'tiny.ckpt')}", "--clips.size=80"]
    config = choose_the_rest("finetune", words, parse("finetune", words))
    tiny = load_pretrained(tmp_path / "tiny.ckpt").config
    assert (config.clips.num_frames, config.clips.size, config.clips.stride) == (tiny["num_frames"], 80, tiny["stride"])
    assert config.clips.num_frames != 16
    recipe = [*words, "--recipe=finetune/ucf101-r3d_18"]
    assert choose_the_rest("finetune", recipe, parse("finetune", recipe)).clips.num_frames == 16


def test_a_fine_tuning_starts_from_the_weights_of_the_package_unless_a_network_is_named(tmp_path: Path) -> None:
    def start(*words: str) -> tuple[str | None, int]:
        words = ("set", f"--out={tmp_path / 'run'}", *words)
        config = choose_the_rest("finetune", words, parse("finetune", words))
        return config.weights, config.clips.size

    assert start() == start("--model.freeze=1") == ("rspnet-small", 48)
    assert start("--model.backbone=r3d_18") == start("--recipe=finetune/ucf101-r3d_18") == (None, 112)
    assert start("--weights=null") == (None, 112)
    file = tmp_path / "run" / "config.yaml"
    file.parent.mkdir()
    for saved, expected in (("weights: null", None), ("init: rspnet-small", "rspnet-small")):
        file.write_text(saved)
        assert start("--resume")[0] == expected
        assert start()[0] == "rspnet-small"
