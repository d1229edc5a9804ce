"""Opening checkpoints: round trips, and a clear one-line error for every bad file."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.official import OFFICIAL, filled_state, fine_tuned, needs_official, published_file
from helpers.torchvision_layout import torchvision_state

from rspnet.cli import main
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.models.classifier import Classifier
from rspnet.models.registry import create_backbone
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.create import require_heads
from rspnet.pretext.pretrained import load_pretrained, load_pretrained_with_report
from rspnet.pretext.rspnet import RSPNet


def own_file(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    model = RSPNet("r3d_10_slim", input="difference", head="mlp", feature_dim=16, queue_size=5, virtual_ranks=2)
    return {
        "format": "rspnet",
        "schema": 1,
        "model": model.state_dict(),
        "model_config": model.config,
        "optimizer": {"state": {}},
        **changes,
    }


def test_own_checkpoint_round_trip(tmp_path: Path) -> None:
    content = own_file()
    torch.save(content, tmp_path / "last.ckpt")
    model, report = load_pretrained_with_report(tmp_path / "last.ckpt")
    assert model.config == content["model_config"]
    assert not model.training
    assert model.state_dict().keys() == content["model"].keys() == set(report.used)
    for key, value in model.state_dict().items():
        assert torch.equal(value, content["model"][key]), key
    clips = torch.randn(1, 3, 5, 32, 32)
    assert model.encoder(clips).motion.shape == (1, 16)


@pytest.mark.slow
@needs_official
@pytest.mark.parametrize("legacy", [False, True])
def test_published_file(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "model_best_s3dg_200epoch.pth.tar"
    content = published_file("s3dg", queue_size=64)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    model, report = load_pretrained_with_report(path)
    assert model.config["backbone"] == "s3dg"
    assert model.config["queue_size"] == 64
    assert len(report.skipped) == 4
    expected = content["model"]["encoder_q.encoder.feature.sepConv1.sep_conv.0.conv3d.weight"]
    assert torch.equal(model.backbone.get_parameter("stem.spatial.conv.weight"), expected)
    assert torch.equal(model.queue.keys, content["model"]["queue"].T)


class Malicious:
    """Creates a file when unpickled by anything that executes code."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("how", ["zip", "legacy", "bare pickle"])
def test_code_is_refused_and_never_runs(tmp_path: Path, how: str) -> None:
    target, path = tmp_path / "executed", tmp_path / "evil.pth"
    content = own_file(extra=Malicious(target))
    if how == "bare pickle":
        path.write_bytes(pickle.dumps({"extra": Malicious(target)}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        load_pretrained(path)
    assert not target.exists()
    torch.load(path, weights_only=False) if how != "bare pickle" else pickle.loads(path.read_bytes())
    assert target.exists()  # the trap does work where code is run


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    cases: dict[str, bytes] = {"empty": b"", "text": b"hello\n", "garbage": bytes(range(256)) * 40}
    torch.save(own_file(), tmp_path / "whole")
    cases["cut"] = (tmp_path / "whole").read_bytes()[:50_000]
    damaged = bytearray((tmp_path / "whole").read_bytes())
    damaged[60:90] = b"\xff" * 30
    cases["damaged"] = bytes(damaged)
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=name) as error:
            load_pretrained(tmp_path / name)
        assert "\n" not in str(error.value), name
    with pytest.raises(CheckpointError, match="no such file"):
        load_pretrained(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="a folder without weights; name a run folder"):
        load_pretrained(tmp_path)


def nearly(share: float) -> dict[str, Any]:
    """So much of a network's weights under a prefix."""
    state = {f"module.{key}": value for key, value in create_backbone("r3d_10_slim").state_dict().items()}
    return dict(list(state.items())[: int(share * len(state))])


FOREIGN = {
    "fine-tuned of the paper's code": lambda: fine_tuned(
        {"arch": "s3dg", "model": filled_state("s3dg", prefix="encoder_q.encoder.")}
    ),
    "torchvision r2plus1d_18": lambda: torchvision_state("r2plus1d_18"),
    "MoCo": lambda: {
        "state_dict": {
            f"module.{encoder}.{key}": value
            for encoder in ("encoder_q", "encoder_k")
            for key, value in create_backbone("r3d_10_slim").state_dict().items()
        }
        | {"module.queue": torch.zeros(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)},
        "epoch": 3,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_read_as_a_bare_backbone_with_the_report_of_convert(tmp_path: Path, kind: str) -> None:
    if kind.startswith("fine-tuned") and not OFFICIAL.is_dir():
        pytest.skip(f"no {OFFICIAL}")
    content = FOREIGN[kind]()
    torch.save(content, tmp_path / "foreign.pth")
    model, report = load_pretrained_with_report(tmp_path / "foreign.pth")
    assert isinstance(model, BareBackbone)
    assert not model.training
    assert main(["convert", str(tmp_path / "foreign.pth"), f"--out={tmp_path / 'converted.ckpt'}"]) == 0
    written = json.loads((tmp_path / "converted.ckpt.report.json").read_text())
    assert (written["used"], written["skipped"], written["missing"]) == (list(report.used), report.skipped, [])
    state = content.get("state_dict", content.get("model", content))
    assert len(report.used) + len(report.skipped) == len(state)
    again = load_pretrained(tmp_path / "converted.ckpt")
    assert again.config == model.config
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(again.backbone.state_dict()[key], value), key
    with pytest.raises(CheckpointError, match="these weights hold a backbone only"):
        require_heads(model, task="roi")
    with pytest.raises(ConfigError, match="no pretext task"):
        model.group_outputs(None, step_seed=0)


def test_a_fine_tuned_classifier_of_ours_gives_its_backbone(tmp_path: Path) -> None:
    model = Classifier(create_backbone("r3d_10_slim", input="difference"), num_classes=3, dropout=0.2)
    content: dict[str, Any] = {"task": "finetune", "model": model.state_dict(), "model_config": model.config}
    content |= {"format": "rspnet", "schema": 1, "config": {"clips": {"num_frames": 8, "size": 64, "stride": 2}}}
    torch.save(content, tmp_path / "last.ckpt")
    loaded, report = load_pretrained_with_report(tmp_path / "last.ckpt")
    assert (loaded.config["input"], loaded.config["num_frames"], loaded.config["size"]) == ("difference", 8, 64)
    assert loaded.config["stride"] == 2
    assert report.skipped == dict.fromkeys(("linear.weight", "linear.bias"), "the classifier behind the backbone")
    assert all(torch.equal(v, loaded.backbone.state_dict()[k]) for k, v in model.backbone.state_dict().items())


def changed_state(**changes: Any) -> dict[str, Any]:
    return {**own_file()["model"], **changes}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [1, 2], "holds a list"),
        (lambda: {"state_dict": {}}, "holds no weights"),
        (lambda: own_file(schema=99), "schema 99"),
        (lambda: own_file(model=None), "no 'model'"),
        (lambda: own_file(model_config={"backbone": "vgg"}), "unknown backbone 'vgg'"),
        (lambda: own_file(model_config={"backbone": "c3d", "depth": 3}), "'depth'"),
        (lambda: own_file(model=changed_state(extra=torch.zeros(1))), r"1 unknown key \(extra\)"),
        (lambda: own_file(model={}), r"missing keys \(encoder_q\.backbone\.conv1\.weight, .*\.\.\.\)"),
        (lambda: own_file(model=changed_state(**{"queue.keys": torch.zeros(2, 2)})), r"'queue\.keys' is \[2, 2\]"),
        (lambda: {"arch": "vgg", "model": {"queue": torch.zeros(2, 2)}}, "unknown arch 'vgg'"),
        (lambda: {"arch": "c3d", "model": {"queue": torch.zeros(2)}}, "no key queue"),
        (lambda: {"arch": "c3d", "model": {"queue": torch.zeros(2, 2)}}, "missing keys"),
        (lambda: {"arch": "c3d", "model": {"encoder.conv1.weight": torch.zeros(1)}}, "fits none of the networks"),
        (
            lambda: {"state_dict": nearly(0.8)},
            r"the nearest is r3d_10_slim with \d\d% of the weights \(95 % are needed",
        ),
        (
            lambda: own_file(
                model=changed_state(**{"queue.keys": torch.full_like(own_file()["model"]["queue.keys"], torch.nan)})
            ),
            r"NaN or infinity in 1 tensor \(queue\.keys\)",
        ),
        (
            lambda: own_file(
                model={k: v * torch.inf if v.is_floating_point() else v for k, v in changed_state().items()}
            ),
            r"NaN or infinity in \d+ tensors \(.*, \.\.\.\): the training that made them has diverged",
        ),
        (
            lambda: {"state_dict": {k: v * torch.nan for k, v in nearly(1.0).items()}},
            r"NaN or infinity in \d+ tensors?",
        ),
        (lambda: own_file(task="finetune", model_config={"backbone": "c3d", "input": "rgb"}), "'num_classes'"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, make: Any, message: str) -> None:
    torch.save(make(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=message) as error:
        load_pretrained(tmp_path / "other.pth")
    assert "other.pth" in str(error.value)
    assert "\n" not in str(error.value)
