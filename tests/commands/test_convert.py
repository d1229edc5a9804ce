from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.official import filled_state, fine_tuned, golden, needs_official, published_file
from helpers.tiny_model import save_tiny_checkpoint
from helpers.torchvision_layout import torchvision_state

from rspnet.cli import main
from rspnet.core.errors import CheckpointError
from rspnet.models.backbone import Backbone
from rspnet.models.foreign import find_backbone
from rspnet.models.registry import create_backbone
from rspnet.models.weights import PUBLISHED_BACKBONES, convert_published
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.classifiers import read_backbone


def state_of(name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return create_backbone(name).state_dict()


def under(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


def has_golden_features(backbone: Backbone, arch: str) -> None:
    expected = golden(arch)
    clip = torch.from_numpy(np.random.RandomState(expected["seed"]).standard_normal(expected["clip_shape"]))
    with torch.no_grad():
        pooled = backbone.eval()(clip.float()).mean(dim=(2, 3, 4))
    np.testing.assert_allclose(pooled[:, :8].numpy(), np.array(expected["pooled_feature_head"]), rtol=1e-3, atol=1e-4)


@needs_official
@pytest.mark.parametrize("arch", PUBLISHED_BACKBONES)
def test_fine_tuned_published_files_give_the_weights_of_the_golden_numbers(arch):
    """tests/pretext/test_golden_official.py computes features with these under these names."""
    state = filled_state(arch, prefix="encoder_q.encoder.")
    content = fine_tuned({"arch": arch, "model": state})
    backbone, report = find_backbone(content, source="x")
    assert backbone.name == PUBLISHED_BACKBONES[arch]
    assert len(report.used) + len(report.skipped) == len(content["model"])
    assert not report.missing
    golden_weights, _ = convert_published(arch, state)
    assert {f"encoder_q.backbone.{key}" for key in backbone.state_dict()} == golden_weights.keys()
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, golden_weights[f"encoder_q.backbone.{key}"].to(value.dtype)), key


@needs_official
def test_from_published_file_to_converted_checkpoint(tmp_path):
    content = published_file("s3dg")
    for name, entry in (("pre", content), ("tuned", fine_tuned(content))):
        torch.save(entry, tmp_path / f"{name}.pth.tar")
        assert main(["convert", str(tmp_path / f"{name}.pth.tar"), f"--out={tmp_path / name}.ckpt"]) == 0
        report = json.loads((tmp_path / f"{name}.ckpt.report.json").read_text())
        assert len(report["used"]) + len(report["skipped"]) == len(entry["model"])
        has_golden_features(read_backbone(str(tmp_path / f"{name}.ckpt")), "s3dg")
    has_golden_features(load_pretrained(tmp_path / "pre.ckpt").backbone, "s3dg")


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("r3d_18", lambda s: {"state_dict": under("module.encoder_k.", s) | under("module.encoder_q.", s)}),  # MoCo
        ("s3dg", lambda s: {"model_state": under("backbone.", s), "epoch": 3}),
        ("r3d_10_slim", lambda s: under("net.", s)),
        ("c3d", lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")}),  # an old file
    ],
)
def test_foreign_prefixes(name, wrap):
    state = state_of(name)
    content = wrap(state)
    backbone, report = find_backbone(content, source="x")
    assert backbone.name == name
    assert not backbone.training
    assert not report.missing
    assert all(torch.equal(value, backbone.state_dict()[key]) for key, value in state.items() if "tracked" not in key)
    if name == "r3d_18":
        assert all(key.startswith("module.encoder_q.") for key in report.used)
        assert set(report.skipped.values()) == {"not below 'module.encoder_q.', where the backbone is"}


@pytest.mark.parametrize(("theirs", "ours"), [("r2plus1d_18", "r2plus1d_18"), ("r3d_18", "r3d_18_torchvision")])
def test_torchvision(theirs, ours):
    state = torchvision_state(theirs)
    backbone, report = find_backbone(state, source="x")
    assert backbone.name == ours
    assert not report.missing
    assert set(report.used) == set(backbone.state_dict())
    assert report.skipped == dict.fromkeys(("fc.weight", "fc.bias"), "a head behind the backbone")
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())


def test_a_few_missing_keys_are_named_and_many_are_an_error():
    state = state_of("r3d_10_slim")
    gone = "layer4.0.bn2.bias"
    part = {k: v for k, v in state.items() if k != gone}
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with pytest.warns(UserWarning, match=f"x lacks 1 weights of r3d_10_slim, which keep initial values: {gone}"):
            backbone, report = find_backbone(part, source="x")
        assert report.missing == (gone,)
        found.append(backbone.state_dict())
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())
    for gone in ("conv1.weight", "layer2.0.conv1.weight", "layer4.0.bn2.running_var"):
        with pytest.raises(CheckpointError, match=f"x lacks {re.escape(gone)} of r3d_10_slim"):
            find_backbone({k: v for k, v in state.items() if k != gone}, source="x")
    other = state | {"conv1.weight": torch.zeros(7, 3, 3, 3, 3)}
    with pytest.raises(CheckpointError, match=r"x lacks conv1\.weight of r3d_10_slim \(or has it in another shape\)"):
        find_backbone(other, source="x")
    with pytest.raises(CheckpointError, match=r"x fits none of the networks .* the nearest is r3d_10_slim with \d\d% "):
        find_backbone({k: v for k, v in state.items() if not k.startswith("layer4.")}, source="x")
    with pytest.raises(CheckpointError, match="fits none"):
        find_backbone({f"blocks.{n}.attn.weight": torch.zeros(4, 4) for n in range(40)}, source="x")
    with pytest.raises(CheckpointError, match="holds no weights"):
        find_backbone({"epoch": 3}, source="x")


def test_command(tmp_path, capsys):
    torch.save(under("module.", state_of("r2plus1d_18")), tmp_path / "foreign.pth")
    assert main(["convert", str(tmp_path / "foreign.pth"), "--keys"]) == 0
    printed = capsys.readouterr().out
    assert "backbone r2plus1d_18, no heads" in printed
    assert "used     module.stem.0.weight" in printed
    own = save_tiny_checkpoint(tmp_path / "own.ckpt")
    assert main(["convert", str(own), f"--out={own}"]) == 2
    before = (tmp_path / "foreign.pth").read_bytes()
    assert main(["convert", str(tmp_path / "foreign.pth"), f"--out={tmp_path}/../{tmp_path.name}/foreign.pth"]) == 2
    assert (tmp_path / "foreign.pth").read_bytes() == before
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"state_dict": {"a.weight": torch.zeros(2)}, "args": argparse.Namespace(lr=1)}, tmp_path / "code.pth")
    torch.save({f"blocks.{n}.attn.weight": torch.zeros(4, 4) for n in range(40)}, tmp_path / "vit.pth")
    for name, message in {
        "text": "damaged, or not a torch file",
        "code": "asks to run code (argparse.Namespace)",
        "vit": "fits none of the networks c3d, ",
    }.items():
        capsys.readouterr()
        assert main(["convert", str(tmp_path / f"{name}.pth"), f"--out={tmp_path / 'never.ckpt'}"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert f"{name}.pth" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "never.ckpt").exists()
    assert not list(Path(tmp_path).glob("*.report.json"))


def test_only_a_file_of_its_own_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(state_of("r3d_10_slim"), tmp_path / "foreign.pth")
    out = tmp_path / "keep.avi"
    out.write_bytes(b"a video")
    words = ["convert", str(tmp_path / "foreign.pth"), f"--out={out}"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "keep.avi' is there already and is not of rspnet convert: name a new one" in error
    assert out.read_bytes() == b"a video"
    out.unlink()
    assert main(words) == main(words) == 0


@pytest.mark.parametrize("name", ["torch:enc.pt2", "hf:folder"])
def test_an_encoder_of_another_program_stays_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"convert takes no {name}: it is an encoder of another program and stays as it is" in error
