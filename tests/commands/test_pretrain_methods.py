"""`rspnet pretrain --model.method`: every baseline runs, resumes exactly, and its features serve other commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.clips_on_disk import TINY, write_videos
from helpers.stopping import stop_after
from helpers.tiny_model import save_method_checkpoint

from rspnet.cli import main
from rspnet.core.run_files import LAST
from rspnet.engine.curves import METRICS, read_curves
from rspnet.features.read import read_features
from rspnet.pretext.pretrained import load_pretrained


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"), count=8, num_frames=16)


def run(videos: Path, out: Path, method: str, *more: str) -> int:
    own = {"pace": ["--data.speeds=[2,3]"]}.get(method, [])
    base = ["pretrain", "--data.root", str(videos), "--out", str(out), "--max_steps", "3", *TINY]
    return main([*base, f"--model.method={method}", *own, *more])


@pytest.mark.parametrize("method", ["pace", "speednet", "moco", "order"])
def test_a_run_and_a_resumed_run_end_alike(
    method: str, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(videos, tmp_path / "whole", method, "--model.virtual_ranks=2") == 0
    with monkeypatch.context() as stopping:
        stop_after(stopping, 2)
        assert run(videos, tmp_path / "cut", method, "--model.virtual_ranks=2", "--data.num_workers=1") == 130
    assert run(videos, tmp_path / "cut", method, "--model.virtual_ranks=2", "--resume") == 0
    assert f"method {method}" in " ".join(capsys.readouterr().err.split())
    rows = [read_curves(tmp_path / name / METRICS)[-1] for name in ("whole", "cut")]
    metric = "top1" if method == "moco" else "accuracy"
    assert 0 <= float(rows[0][metric]) <= 1
    assert rows[0]["loss"] == rows[1]["loss"]
    result = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert result["protocol"]["model"]["method"] == method
    features = tmp_path / "features"
    words = ["embed", f"--weights={tmp_path / 'whole' / LAST}", str(videos), "--out", str(features), "--num_clips=2"]
    assert main([*words, "--num_workers=0"]) == 0
    found = read_features(features)
    assert len(found.features) == 8
    assert "motion" not in found.table.column_names


def test_two_streams_go_on_bit_by_bit(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third head, its queue and both streams' statistics are part of what a checkpoint keeps."""
    two = ["--model.backbone=two_stream_slim", "--model.input=difference"]
    assert run(videos, tmp_path / "whole", "rspnet", *two) == 0
    with monkeypatch.context() as stopping:
        stop_after(stopping, 2)
        assert run(videos, tmp_path / "cut", "rspnet", *two) == 130
    assert run(videos, tmp_path / "cut", "rspnet", *two, "--resume") == 0
    whole, cut = (load_pretrained(tmp_path / name / LAST).state_dict() for name in ("whole", "cut"))
    assert any("instance" in name for name in whole)
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


@pytest.mark.parametrize(
    "words", [["roi", "a.mp4", "b.mp4", "--weights=CKPT"], ["index", "VIDEOS", "--out=store", "--weights=CKPT"]]
)
def test_commands_that_need_the_heads_say_so(
    words: list[str], videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = save_method_checkpoint(tmp_path / "pace.ckpt", "pace")
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    assert main([word.replace("CKPT", str(checkpoint)).replace("VIDEOS", str(videos)) for word in words]) == 2
    error = capsys.readouterr().err
    assert "needs the motion and the appearance head of RSPNet" in error
    assert "'pace'" in error
