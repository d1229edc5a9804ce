"""Runs killed at random moments, also inside checkpoint writing, end with the bytes of an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.clips_on_disk import TINY, TINY_FINETUNE, write_labelled_videos, write_videos

from rspnet.engine.checkpoint import LAST
from rspnet.engine.curves import METRICS, read_curves

STEPS = 12
TESTS = Path(__file__).resolve().parents[1]
OFTEN = [f"--max_steps={STEPS}", "--engine.checkpoint_every=1", "--engine.loggers=[csv]"]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled_videos(tmp_path_factory.mktemp("labelled"))


def case(words: list[str], *, ranks: int, workers: str, faults: int) -> dict[str, Any]:
    name = f"{words[0]}-{ranks}-ranks-{workers[-1]}-workers"
    return {"name": name, "words": [*words, workers, f"--engine.devices={ranks}"], "ranks": ranks, "faults": faults}


def pretraining(videos: Path, *, ranks: int, workers: int, faults: int) -> dict[str, Any]:
    words = ["pretrain", f"--data.root={videos}", *TINY, *OFTEN]
    return case(words, ranks=ranks, workers=f"--data.num_workers={workers}", faults=faults)


def finetuning(labelled: Path, *, ranks: int, workers: int, faults: int) -> dict[str, Any]:
    words = ["finetune", f"--data.root={labelled}", "--data.kind=folders", *TINY_FINETUNE, *OFTEN]
    words += ["--model.dropout=0.3", "--protocol=validation", "--validation_share=0.25"]
    return case(words, ranks=ranks, workers=f"--clips.num_workers={workers}", faults=faults)


def run_cases(folder: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "helpers.killing", str(folder), "5", json.dumps(cases)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    environment |= {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=850, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def check(result: dict[str, Any], *, kills: int) -> None:
    """All checkpoints byte for byte, every step's row once, nothing left lying about."""
    straight, killed = (Path(result["folder"]) / name / "run" for name in ("straight", "killed"))
    assert len(result["kills"]) == kills, result
    names = sorted(path.name for path in straight.glob("*.ckpt"))
    assert LAST in names
    assert sorted(path.name for path in killed.glob("*.ckpt")) == names
    for name in names:
        assert (killed / name).read_bytes() == (straight / name).read_bytes(), (result, name)
    steps = [[row["step"] for row in read_curves(folder / METRICS)] for folder in (straight, killed)]
    assert steps[0] == steps[1]
    assert not list(killed.glob(".*.ckpt.*"))


def test_pretraining_on_one_rank(videos: Path, tmp_path: Path) -> None:
    cases = [pretraining(videos, ranks=1, workers=workers, faults=3) for workers in (0, 2)]
    for result in run_cases(tmp_path, cases):
        check(result, kills=3)


def test_finetuning_on_one_rank(labelled: Path, tmp_path: Path) -> None:
    """Without workers in test_two_ranks."""
    (result,) = run_cases(tmp_path, [finetuning(labelled, ranks=1, workers=2, faults=3)])
    check(result, kills=3)


def test_two_ranks(videos: Path, labelled: Path, tmp_path: Path) -> None:
    cases = [pretraining(videos, ranks=2, workers=1, faults=3), finetuning(labelled, ranks=2, workers=0, faults=3)]
    for result in run_cases(tmp_path, cases):
        check(result, kills=3)
