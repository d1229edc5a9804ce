"""hubconf.py as torch.hub reads it, from this repository on disk."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.networks import NAMES
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.models.exported import FeatureNet
from rspnet.pretext.rspnet import RSPNet

ROOT = str(Path(__file__).resolve().parents[1])


def test_entries() -> None:
    names = runpy.run_path(f"{ROOT}/hubconf.py")
    entries = {name: value for name, value in names.items() if callable(value) and name[0] != "_"}
    assert set(entries) == {"backbone", "exported", "pretrained"}
    assert all(name in entries["backbone"].__doc__ for name in NAMES)
    network = torch.hub.load(ROOT, "backbone", "r3d_10_slim", input="difference", source="local")
    assert (network.name, network.input) == ("r3d_10_slim", "difference")


def test_local_files(tmp_path: Path) -> None:
    checkpoint = save_tiny_checkpoint(tmp_path / "model.ckpt")
    model = torch.hub.load(ROOT, "pretrained", str(checkpoint), source="local")
    assert isinstance(model, RSPNet)
    assert not model.training
    pytest.importorskip("safetensors", reason="the extra `export` is not installed")
    model.save_pretrained(tmp_path / "out")
    network = torch.hub.load(ROOT, "exported", str(tmp_path / "out"), source="local")
    assert isinstance(network, FeatureNet)
    clips = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(clips)[2], model.encoder(clips).motion)


@pytest.mark.slow
def test_a_clone_that_is_not_installed() -> None:
    """A Python without this package finds it below the clone."""
    code = (
        "import sys\n"
        "sys.path = [p for p in sys.path if not p.endswith('src')]\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in getattr(f, '__name__', '').lower()]\n"
        "import torch\n"
        f"print(torch.hub.load({ROOT!r}, 'backbone', 'r3d_10_slim', source='local').num_features)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "256\n", done.stderr
