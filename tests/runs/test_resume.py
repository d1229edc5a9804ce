"""Going on with a run under other circumstances: what is said, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.clips_on_disk import TINY, write_videos
from helpers.stopping import stop_after

from rspnet.cli import main
from rspnet.core.errors import ConfigError
from rspnet.core.run_files import LAST
from rspnet.data.annotations import VideoRecord
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.runs.resume import refuse_other_parameters, refuse_other_videos, videos_sha256, what_is_inexact

MADE = {
    "rspnet": "0.1", "torch": "2.13", "device": "cpu", "precision": "fp32",
    "threads": 1, "ranks": 2, "virtual_ranks": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def started(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 steps (3 an epoch) that was stopped after 4, with checkpoints of 3 and 4."""
    out = tmp_path_factory.mktemp("started") / "run"
    with pytest.MonkeyPatch.context() as stopping:
        stop_after(stopping, 4)
        assert run(videos, out) == 130
    return out


def run(videos: Path, out: Path, *more: str) -> int:
    words = ["pretrain", f"--data.root={videos}", f"--out={out}", "--max_steps=6", "--engine.loggers=[csv]", *TINY]
    return main([*words, *more])


def notes(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"torch": "2.14"}, ["torch 2.14 instead of 2.13: the run goes on, but rounds differently"]),
        ({"threads": 2, "precision": "bf16"}, ["precision bf16", "threads 2"]),
        ({"ranks": 1, "virtual_ranks": 2}, ["1 rank x 2 virtual ranks instead of 2 ranks x 1 virtual rank: the same"]),
        ({"ranks": 1}, ["other groups of clips share a batch norm"]),
    ],
)
def test_what_is_no_longer_exact_is_said(changes: dict[str, Any], said: list[str]) -> None:
    found = what_is_inexact(MADE, MADE | changes)
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))


@pytest.mark.slow
def test_a_checkpoint_of_schema_1_says_that_it_does_not_know(
    videos: Path, started: Path, tmp_path: Path, capsys
) -> None:
    shutil.copytree(started, tmp_path / "run")
    content = torch.load(tmp_path / "run" / LAST, weights_only=True)
    for name in ("made_with", "videos_sha256", "watch"):
        del content[name]
    torch.save(content | {"schema": 1}, tmp_path / "run" / LAST)
    assert run(videos, tmp_path / "run", "--resume") == 0
    assert "an older rspnet, which did not note what made it" in notes(capsys.readouterr().err)


@pytest.mark.slow
def test_precision_virtual_ranks_and_workers_may_change(videos: Path, started: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(started, tmp_path / "run")
    options = ["--engine.precision=bf16", "--model.virtual_ranks=2", "--data.num_workers=1"]
    assert run(videos, tmp_path / "run", "--resume", *options) == 0
    said = notes(capsys.readouterr().err)
    assert "note: precision bf16 instead of fp32" in said
    assert "slightly different training" in said
    # Two more are about the queue; nothing of workers. On a slow machine a fifth says how long the rest takes.
    assert said.count("note:") - said.count("note: still to do") == 4
    assert load_checkpoint(tmp_path / "run" / LAST)["made_with"]["precision"] == "bf16"


@pytest.mark.slow
def test_a_damaged_last_checkpoint_falls_back_with_a_note(videos: Path, started: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(started, tmp_path / "run")
    path = tmp_path / "run" / LAST
    path.write_bytes(path.read_bytes()[:-1000])
    assert run(videos, tmp_path / "run", "--resume") == 0
    said = notes(capsys.readouterr().err)
    assert "last.ckpt': damaged, or not a torch file; falling back on the checkpoint before it" in said
    assert "resuming at step 3" in said


@pytest.mark.slow
def test_other_videos_are_refused(videos: Path, started: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(started, tmp_path / "run")
    shutil.copytree(videos, tmp_path / "more")
    assert run(tmp_path / "more", tmp_path / "run", "--resume") == 0  # moved: the same videos
    first = next(path for path in (tmp_path / "more").rglob("*.mp4"))
    first.rename(first.with_name("renamed.mp4"))
    assert run(tmp_path / "more", tmp_path / "run", "--resume") == 2
    assert "these training videos (12) are not those the run was started with" in capsys.readouterr().err
    records = [VideoRecord(Path("a.mp4"), "a.mp4", label) for label in (0, 1)]
    refuse_other_videos({"videos_sha256": videos_sha256(records)}, records)
    with pytest.raises(ConfigError):
        refuse_other_videos({"videos_sha256": videos_sha256(records)}, records[::-1])


def test_another_number_of_trained_tensors_is_refused() -> None:
    state = {"param_groups": [{"params": [0, 1, 2]}]}
    refuse_other_parameters(state, 3)
    with pytest.raises(ConfigError, match=r"--resume: 2 tensors trained now, 3 when the run was started"):
        refuse_other_parameters(state, 2)
