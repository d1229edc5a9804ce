"""Coarse to fine: `rspnet pretrain --data.coarse_share`, small clips first, with every method and exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.clips_on_disk import TINY, write_videos
from helpers.states import same
from helpers.stopping import stop_after

from rspnet.cli import main
from rspnet.commands import pretrain as pretrain_module
from rspnet.engine.checkpoint import LAST, load_checkpoint

COARSE = ["--data.coarse_share=0.5", "--data.coarse_size=24", "--data.coarse_frames=3"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"), count=8, num_frames=16)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """(frames, size) of the clips of every step that is trained."""
    seen: list[tuple[int, ...]] = []
    views_of = pretrain_module.views_of

    def watched(*args: Any, **options: Any) -> Any:
        views = views_of(*args, **options)
        clips = views.clips if hasattr(views, "clips") else views
        assert len({clip.shape for clip in clips}) == 1
        seen.append(tuple(clips[0].shape[2:4]))
        return views

    monkeypatch.setattr(pretrain_module, "views_of", watched)
    return seen


def run(videos: Path, out: Path, *more: str) -> int:
    return main(["pretrain", "--data.root", str(videos), "--out", str(out), "--max_steps=4", *TINY, *more])


@pytest.mark.parametrize(("method", "stopped", "workers"), [("rspnet", 1, 1), ("rspnet", 3, 0), ("order", 1, 0)])
def test_small_clips_come_first_and_a_stop_on_either_side_of_the_switch_changes_nothing(
    method: str,
    stopped: int,
    workers: int,
    videos: Path,
    tmp_path: Path,
    shapes: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = [f"--model.method={method}", "--model.order_clips=2", *COARSE]
    assert run(videos, tmp_path / "whole", *own) == 0
    assert shapes == [(3, 24)] * 2 + [(4, 32)] * 2
    with monkeypatch.context() as stopping:
        stop_after(stopping, stopped)
        assert run(videos, tmp_path / "cut", *own) == 130
    assert run(videos, tmp_path / "cut", *own, "--resume", f"--data.num_workers={workers}") == 0
    assert shapes[4:] == shapes[:4]
    whole, cut = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "cut"))
    assert same(whole["model"], cut["model"])
    assert same(whole["optimizer"], cut["optimizer"])
    assert (whole["model_config"]["num_frames"], whole["model_config"]["size"]) == (4, 32)


def test_either_frames_or_pixels_may_be_fewer(videos: Path, tmp_path: Path, shapes: list[Any]) -> None:
    assert run(videos, tmp_path / "size", "--data.coarse_share=0.25", "--data.coarse_size=24") == 0
    assert run(videos, tmp_path / "frames", "--data.coarse_share=0.75", "--data.coarse_frames=2") == 0
    assert shapes == [(4, 24)] + [(4, 32)] * 3 + [(2, 32)] * 3 + [(4, 32)]


def test_the_plan_says_so_and_a_resume_keeps_it(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(videos, tmp_path / "run", "--dry-run", *COARSE) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "4 frames x 32², speeds 1 and [2]; the first 2 steps 3 frames x 24²" in text
    assert run(videos, tmp_path / "run", "--max_steps=1") == 0
    assert "the first" not in capsys.readouterr().err
    assert run(videos, tmp_path / "run", "--max_steps=1", "--resume", *COARSE) == 2
    assert "--data.coarse_share is 0.5 but the run was started with 0.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.coarse_share=0.5"], "--data.coarse_share goes with --data.coarse_size or coarse_frames"),
        (["--data.coarse_size=24"], "--data.coarse_share goes with --data.coarse_size or coarse_frames"),
        (["--data.coarse_share=1", "--data.coarse_size=24"], "--data.coarse_share 1.0: must be in 0..1, below 1"),
        (["--data.coarse_share=0.5", "--data.coarse_size=33"], "--data.coarse_size 33: 16 to 32"),
        (["--data.coarse_share=0.5", "--data.coarse_frames=1"], "--data.coarse_frames 1: 2 to 4"),
    ],
)
def test_contradictions_are_refused(
    options: list[str], message: str, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(videos, tmp_path / "run", *options) == 2
    assert message in capsys.readouterr().err
