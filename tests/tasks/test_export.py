from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.core.errors import CheckpointError
from rspnet.models.exported import FeatureNet, build_network, load_exported
from rspnet.models.registry import backbone_names, create_backbone
from rspnet.pretext.pretrained import load_pretrained
from rspnet.tasks import export as exporting
from rspnet.tasks.classifiers import read_backbone

pytest.importorskip("safetensors", reason="the extra `export` is not installed")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.ckpt")


def expected(checkpoint: Path, clips: torch.Tensor) -> list[torch.Tensor]:
    model = load_pretrained(checkpoint)
    with torch.no_grad():
        return [model.backbone(clips).mean(dim=(2, 3, 4)), *model.encoder(clips)]


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
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot open the exported model"):
        load_exported(tmp_path)


def test_program_takes_any_batch(checkpoint, tmp_path):
    assert main(["export", str(checkpoint), "--format=program", f"--out={tmp_path}"]) == 0
    program = torch.export.load(tmp_path / "model.pt2").module()
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


@pytest.mark.parametrize("name", backbone_names())
def test_onnx_of_every_backbone_equals_the_network(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    torch.manual_seed(0)
    network = FeatureNet(create_backbone(name)).eval()
    gap = exporting._onnx(network, tmp_path / "model.onnx", [3, 4, 32, 32])
    assert gap <= 1e-4
    session = onnxruntime.InferenceSession((tmp_path / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    clips = torch.randn(2, 3, 4, 32, 32)
    (found,) = session.run(["features"], {"clips": clips.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(clips)[0].numpy(), atol=1e-4)


def test_classifier_is_described():
    network = build_network({"kind": "classifier", "backbone": "r3d_10_slim", "input": "rgb", "num_classes": 7})
    assert network(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 7)


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
