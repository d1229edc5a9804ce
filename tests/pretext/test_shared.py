"""`from_pretrained` and `save_pretrained`: folders on disk, and the hub only through its own library."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.narrow import NARROW
from helpers.tiny_model import save_method_checkpoint, save_tiny_checkpoint

from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet


@pytest.fixture
def model(tmp_path: Path) -> RSPNet:
    model = load_pretrained(save_tiny_checkpoint(tmp_path / "model.ckpt", head="mlp"))
    assert isinstance(model, RSPNet)
    return model


def test_round_trip(model: RSPNet, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="the extra `export` is not installed")
    model.save_pretrained(tmp_path / "shared")
    assert sorted(file.name for file in (tmp_path / "shared").iterdir()) == ["model.json", "model.safetensors"]
    assert json.loads((tmp_path / "shared" / "model.json").read_text())["backbone"] == NARROW
    again = RSPNet.from_pretrained(tmp_path / "shared")
    assert not again.training
    for name, value in model.encoder_q.state_dict().items():
        assert torch.equal(value, again.encoder_q.state_dict()[name]), name
        assert torch.equal(value, again.encoder_k.state_dict()[name]), name
    kept = ("backbone", "input", "head", "feature_dim", "num_frames", "size")
    assert all(again.config[name] == model.config[name] for name in kept)


def test_a_file_will_do_but_it_must_have_heads(model: RSPNet, tmp_path: Path) -> None:
    again = RSPNet.from_pretrained(tmp_path / "model.ckpt")
    assert torch.equal(again.queue.keys, model.queue.keys)
    pace = save_method_checkpoint(tmp_path / "pace.ckpt", "pace")
    with pytest.raises(CheckpointError, match=r"needs the motion and the appearance head .* pre-trained by 'pace'"):
        RSPNet.from_pretrained(pace)


def test_without_the_library_a_repository_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"'someone/rspnet' is no file or folder here.*pip install hugg") as error:
        RSPNet.from_pretrained("someone/rspnet")
    assert "\n" not in str(error.value)


def test_without_safetensors(model: RSPNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ConfigError, match=r"rspnet\[export\]"):
        model.save_pretrained(tmp_path / "shared")


def fake_library(monkeypatch: pytest.MonkeyPatch, download: Any) -> None:
    """A stand-in for huggingface_hub with the names that are used."""
    errors = SimpleNamespace(HfHubHTTPError=type("HfHubHTTPError", (OSError,), {}), HFValidationError=ValueError)
    library = ModuleType("huggingface_hub")
    library.snapshot_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)


def test_a_repository_is_what_the_library_downloads(
    model: RSPNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors", reason="the extra `export` is not installed")
    model.save_pretrained(tmp_path / "cache")
    asked = []

    def download(repository: str, **options: Any) -> str:
        asked.append((repository, options))
        return str(tmp_path / "cache")

    fake_library(monkeypatch, download)
    again = RSPNet.from_pretrained("someone/rspnet", revision="v1")
    assert torch.equal(again.backbone.conv1.weight, model.backbone.conv1.weight)
    assert asked == [("someone/rspnet", {"revision": "v1", "allow_patterns": ["model.safetensors", "model.json"]})]


def test_a_failed_download_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, **options: Any) -> str:
        raise ConnectionError("no route\nsecond line")

    fake_library(monkeypatch, download)
    with pytest.raises(CheckpointError, match=r"'someone/rspnet' .* the hub gives none: no route$"):
        RSPNet.from_pretrained("someone/rspnet")
