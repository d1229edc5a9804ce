from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.networks import short_backbone
from helpers.tiny_model import save_tiny_checkpoint
from torch import nn

from rspnet.cli import main
from rspnet.commands import export as exporting
from rspnet.core.errors import CheckpointError
from rspnet.core.files import sha256_of
from rspnet.models.backbone import Backbone
from rspnet.models.classifier import Classifier
from rspnet.models.exported import FeatureNet, largest_difference, load_exported
from rspnet.models.registry import create_backbone
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.program_check import check_program
from rspnet.runs.classifiers import read_backbone

pytest.importorskip("safetensors", reason="the extra `export` is not installed")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.ckpt")


def expected(checkpoint: Path, clips: torch.Tensor) -> list[torch.Tensor]:
    model = load_pretrained(checkpoint)
    with torch.no_grad():
        return [model.backbone(clips).mean(dim=(2, 3, 4)), *model.encoder(clips)]


@pytest.mark.parametrize(("kind", "file"), [("huggingface", "README.md"), ("safetensors", "model.safetensors")])
def test_files_of_something_else_are_not_replaced(checkpoint, tmp_path, capsys, kind, file):
    (tmp_path / file).write_text("mine")
    assert main(["export", str(checkpoint), f"--format={kind}", f"--out={tmp_path}"]) == 2
    assert f"holds a {file} of something else" in capsys.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {file: "mine"}
    assert main(["export", str(checkpoint), f"--format={kind}", f"--out={tmp_path / 'killed'}"]) == 0
    (tmp_path / "killed" / "model.json").unlink()  # which is written last
    assert main(["export", str(checkpoint), f"--format={kind}", f"--out={tmp_path / 'killed'}"]) == 0


def test_safetensors_round_trip(checkpoint, tmp_path):
    assert main(["export", str(checkpoint), f"--out={tmp_path}"]) == 0
    network, description = load_exported(tmp_path)
    clips = torch.randn(2, *description["clip_shape"])
    with torch.no_grad():
        for found, wanted in zip(network(clips), expected(checkpoint, clips), strict=True):
            torch.testing.assert_close(found, wanted)
    assert description["outputs"] == ["features", "appearance", "motion"]
    original = load_pretrained(checkpoint).backbone.state_dict()
    again = read_backbone(str(tmp_path)).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in original.items())
    (tmp_path / "model.json").write_text(json.dumps(description | {"backbone": "c3d"}))
    with pytest.raises(CheckpointError, match=r"exported model .* does not fit"):
        load_exported(tmp_path)
    for damaged in ([1], {}, {"kind": "z"}, {"clip_shape": [1]}, {"clip_shape": None}, {"clip_shape": [3, 4, 16, -1]}):
        whole = description | damaged if isinstance(damaged, dict) and damaged else damaged
        (tmp_path / "model.json").write_text(json.dumps(whole))
        with pytest.raises(CheckpointError, match="cannot open the exported model"):
            load_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot open the exported model"):
        load_exported(tmp_path)


def test_each_format_has_a_folder_of_its_own_and_a_program_takes_any_batch(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("safetensors", "program"):
        assert main(["export", str(checkpoint), f"--format={name}"]) == 0
        assert json.loads((tmp_path / "exported" / name / "model.json").read_text())["format"] == name
        assert f"format: {name}\n" in (tmp_path / "exported" / name / "config.yaml").read_text()
    assert main(["export", str(checkpoint), "--format=program", "--out=exported/safetensors"]) == 2
    said = "--out 'exported/safetensors' holds an export as safetensors: name another folder for program"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "exported" / "safetensors" / "model.pt2").exists()
    assert main(["embed", str(tmp_path), "--weights=exported/program", "--out=features"]) == 2
    assert "its folder is an export as program; name torch:exported/program/model.pt2" in capsys.readouterr().err
    check_program(tmp_path / "exported" / "program" / "model.pt2")  # so `--weights torch:` opens it
    assert main(["export", "torch:exported/program/model.pt2", "--out=again"]) == 2
    assert "export does not take torch:exported/program/model.pt2" in capsys.readouterr().err
    program = torch.export.load(tmp_path / "exported" / "program" / "model.pt2").module()
    clips = torch.randn(5, 3, 4, 32, 32)
    for found, wanted in zip(program(clips), expected(checkpoint, clips), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_an_export_that_computes_something_else_is_refused(checkpoint, tmp_path, monkeypatch, capsys):
    def other(folder):
        network, description = load_exported(folder)
        with torch.no_grad():
            network.network.motion_head.linear.bias += 0.1
        return network, description

    monkeypatch.setattr(exporting, "load_exported", other)
    assert main(["export", str(checkpoint), f"--out={tmp_path}"]) == 2
    assert "refused: it differs from the model by" in capsys.readouterr().err
    assert not (tmp_path / "model.safetensors").exists()

    def wrong(network, path, shape):
        path.touch()
        return exporting._checked(network, double, path, shape)

    monkeypatch.setattr(exporting, "_program", wrong)
    assert main(["export", str(checkpoint), "--format=program", f"--out={tmp_path / 'other'}"]) == 2
    assert {file.name for file in (tmp_path / "other").iterdir()} == {"config.yaml"}


def double(clips):
    return tuple(2 + torch.zeros(len(clips), width) for width in (64, 16, 16))


def test_rounding_is_judged_beside_the_size_of_the_outputs():
    scores = torch.tensor([[2500.0, -3.0]])
    assert largest_difference(scores, scores + 0.0007) < 1e-6
    assert largest_difference(scores / 2500, scores / 2500 + 0.0007) == pytest.approx(0.0007, rel=1e-3)
    assert largest_difference(scores, scores * torch.nan) == float("inf")


def test_the_folder_is_a_run_of_export_and_a_run_folder_can_be_exported(checkpoint, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    (run / "last.ckpt").write_bytes(checkpoint.read_bytes())
    assert main(["export", str(run), f"--out={out}"]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["protocol"]["command"] == "export"
    assert result["protocol"]["file_sha256"] == sha256_of(out / "model.safetensors")
    assert result["results"]["outputs"] == ["features", "appearance", "motion"]
    both = zip(read_backbone(str(run)).parameters(), read_backbone(str(out)).parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in both)
    (tmp_path / "file").touch()
    assert main(["export", str(run), f"--out={tmp_path / 'file'}"]) == 2
    assert "is a file: name a folder" in capsys.readouterr().err


EXPORTED = ["c3d", "s3dg", "two_stream_slim"]


class SideBySide(nn.Module):
    """Several backbones on the same clips: one export, of which most is work for any network, for all of them."""

    def __init__(self, backbones: list[Backbone]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(FeatureNet(backbone) for backbone in backbones)

    def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(network(clips)[0] for network in self.networks)


def test_onnx_and_program_equal_the_networks(tmp_path, monkeypatch):
    """Of networks that together have every operation that backbones are made of. (An export checks itself, too.)"""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    torch.manual_seed(0)
    network = SideBySide([short_backbone(name, monkeypatch) for name in EXPORTED]).eval()
    monkeypatch.setattr(exporting, "output_names", lambda _: EXPORTED)
    shape = [3, 4, 32, 32]
    traced = exporting._traced(network, shape)
    monkeypatch.setattr(exporting, "_traced", lambda *_: traced)  # once for both formats
    assert exporting._program(network, tmp_path / "model.pt2", shape) <= 1e-4
    assert exporting._onnx(network, tmp_path / "model.onnx", shape) <= 1e-4
    session = onnxruntime.InferenceSession((tmp_path / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        expected = dict(zip(EXPORTED, network(clips), strict=True))
    for name, wanted in expected.items():
        (found,) = session.run([name], {"clips": clips.numpy()})
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4, err_msg=name)


def test_a_classifier_goes_through_every_format(tmp_path):
    """Fine-tuned checkpoint -> safetensors -> ONNX gives the checkpoint's class scores."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    torch.manual_seed(0)
    model = Classifier(create_backbone("r3d_10_slim", input="difference"), num_classes=3, dropout=0.5).eval()
    content: dict[str, Any] = {"task": "finetune", "model": model.state_dict(), "model_config": model.config}
    content["init_sha256"] = None
    content |= {"config": {"clips": {"num_frames": 5, "size": 24}}, "class_names": ["a", "b", "c"]}
    torch.save(content | {"format": "rspnet", "schema": 1}, tmp_path / "last.ckpt")
    folder = tmp_path / "out"
    assert main(["export", str(tmp_path / "last.ckpt"), f"--out={folder}"]) == 0
    assert main(["export", str(folder), "--format=onnx", f"--out={tmp_path / 'onnx'}"]) == 0
    description = json.loads((tmp_path / "onnx" / "model.json").read_text())
    assert (description["class_names"], description["outputs"]) == (["a", "b", "c"], ["logits"])
    assert (description["clip_shape"], description["format"]) == ([3, 5, 24, 24], "onnx")
    session = onnxruntime.InferenceSession(
        (tmp_path / "onnx" / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    clips = torch.randn(4, 3, 5, 24, 24)
    with torch.no_grad():
        np.testing.assert_allclose(session.run(["logits"], {"clips": clips.numpy()})[0], model(clips), atol=1e-4)
    bare = load_pretrained(folder)
    assert (bare.config["method"], bare.config["num_frames"], bare.config["size"]) == ("backbone", 5, 24)
    assert torch.equal(bare.backbone.conv1.weight, model.backbone.conv1.weight)


def test_a_converted_backbone_is_exported_as_features(tmp_path):
    torch.manual_seed(0)
    state = create_backbone("r3d_10_slim").state_dict()
    torch.save(state, tmp_path / "foreign.pth")
    assert main(["export", str(tmp_path / "foreign.pth"), f"--out={tmp_path}"]) == 0
    network, description = load_exported(tmp_path)
    assert (description["kind"], description["outputs"]) == ("backbone", ["features"])
    assert all(torch.equal(network.backbone.state_dict()[key], value) for key, value in state.items())


def test_an_export_with_heads_is_loaded_as_a_pretrained_model(checkpoint, tmp_path):
    assert main(["export", str(checkpoint), "--out", str(tmp_path / "out"), "--format", "safetensors"]) == 0
    clips = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    original = load_pretrained(checkpoint)
    for path in (tmp_path / "out", tmp_path / "out" / "model.safetensors"):
        loaded = load_pretrained(path)
        with torch.no_grad():
            assert torch.equal(loaded.encoder_q(clips).motion, original.encoder_q(clips).motion)
            assert torch.equal(loaded.encoder_q(clips).appearance, original.encoder_q(clips).appearance)
    (tmp_path / "out" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot open the exported model"):
        load_pretrained(tmp_path / "out")


def test_a_folder_for_hugging_face(checkpoint, tmp_path):
    assert main(["export", str(checkpoint), "--format=huggingface", f"--out={tmp_path}"]) == 0
    original, again = (load_pretrained(place).backbone.state_dict() for place in (checkpoint, tmp_path))
    assert all(torch.equal(value, again[name]) for name, value in original.items())
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"]["AutoModel"] == "modeling_rspnet.RSPNetModel"
    compile((tmp_path / "modeling_rspnet.py").read_text(), "modeling_rspnet.py", "exec")
    card = (tmp_path / "README.md").read_text()
    assert sha256_of(checkpoint) in card
    assert "gives features, appearance, motion" in card
    transformers = pytest.importorskip("transformers", reason="only the folder's own files were looked at")
    model = transformers.AutoModel.from_pretrained(str(tmp_path), trust_remote_code=True).eval()
    clips = torch.randn(2, *config["description"]["clip_shape"])
    with torch.no_grad():
        found = model(clips)
    for name, wanted in zip(("features", "appearance", "motion"), expected(checkpoint, clips), strict=True):
        torch.testing.assert_close(found[name], wanted)
