"""A plug-in is named where its user is told what to do next: behind a run, and in a model card."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.clips_on_disk import TINY, write_videos

from rspnet.cli import main
from rspnet.core.errors import ConfigError
from rspnet.core.plugins import with_plugins
from rspnet.models import registry
from rspnet.pretext import methods

OUTSIDE = Path(__file__).parents[1] / "helpers" / "outside_arrow.py"
PLUGIN = ["--plugin", str(OUTSIDE)]


def forget() -> None:
    sys.modules.pop(OUTSIDE.stem, None)
    methods._METHODS.pop("arrow", None)
    registry._BUILDERS.pop("one_layer", None)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run of a method and a backbone from outside, which are gone after the test."""
    videos = write_videos(tmp_path / "videos", count=8)
    words = ["pretrain", str(videos), f"--out={tmp_path / 'run'}", "--max_steps=1", *TINY, *PLUGIN]
    assert main([*words, "--model.method=arrow", "--model.backbone=one_layer"]) == 0
    yield tmp_path / "run"
    forget()


def test_what_comes_next_names_the_plugin(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    said = [line.split("    # ")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("next: ")]
    assert said
    for command in (*said, *json.loads((run / "result.json").read_text())["next"]):
        assert command.endswith(f" --plugin {OUTSIDE}"), command
    assert main(["recipes"]) == 0
    assert with_plugins("rspnet demo") == "rspnet demo"  # for a command without any


def test_a_model_card_imports_the_plugin_and_then_the_model_opens(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="the extra `export` is not installed")
    folder = tmp_path / "export"
    assert main(["export", str(run), "--format=huggingface", f"--out={folder}", *PLUGIN]) == 0
    assert "\nimport outside_arrow  # the network's own code" in (folder / "README.md").read_text()
    transformers = pytest.importorskip("transformers", reason="only the card was looked at")
    model = transformers.AutoModel.from_pretrained(str(folder), trust_remote_code=True)
    assert model(torch.zeros(1, 3, 4, 16, 16))["features"].shape == (1, 8)
    forget()
    with pytest.raises(ConfigError, match="in Python, import it first"):
        transformers.AutoModel.from_pretrained(str(folder), trust_remote_code=True)
