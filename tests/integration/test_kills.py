"""Runs killed anywhere end with the bytes of an undisturbed run; SIGTERM leaves a checkpoint.

Embedding and classifying are killed in test_kills_of_features.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.clips_on_disk import TINY, TINY_FINETUNE, TINY_SLIM, write_labelled_videos, write_videos
from helpers.forking import Mother
from helpers.killing import PLACES

from rspnet.cli import main
from rspnet.core.run_files import LAST
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.engine.curves import METRICS, read_curves

STEPS = 12
OFTEN = [f"--max_steps={STEPS}", "--engine.checkpoint_every=1", "--engine.loggers=[csv]"]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled_videos(tmp_path_factory.mktemp("labelled"))


WHERE = {
    ("pretrain", 1): ["some time into a step", "in mid write", "before a rename"],
    ("pretrain", 2): ["some time into a step", "before fsync"],
    ("finetune", 1): ["between steps", "before the second name"],
    ("finetune", 2): ["some time into a step", "before the checksum"],
}
"""Command and number of ranks -> where it is killed, one start after the other: every place once, steps more often."""


def test_every_place_is_tried() -> None:
    assert {place for places in WHERE.values() for place in places} == set(PLACES)


def pretraining(videos: Path, *, workers: int) -> list[str]:
    return ["pretrain", f"--data.root={videos}", *TINY, *OFTEN, f"--data.num_workers={workers}"]


def finetuning(labelled: Path, *, workers: int) -> list[str]:
    words = ["finetune", f"--data.root={labelled}", "--data.kind=folders", *TINY_FINETUNE, *OFTEN]
    return [
        *words,
        "--model.dropout=0.3",
        "--protocol=validation",
        "--validation_share=0.25",
        f"--clips.num_workers={workers}",
    ]


def check(mother: Mother, words: list[str], base: Path, *, ranks: int) -> None:
    """All checkpoints byte for byte, every step's row once, nothing left lying about."""
    places = WHERE[words[0], ranks]
    case = {"name": f"{words[0]}-{ranks}", "words": [*words, f"--engine.devices={ranks}"], "ranks": ranks}
    result: dict[str, Any] = mother.call("helpers.killing:run_case", case | {"places": places}, str(base))
    straight, killed = (Path(result["folder"]) / name / "run" for name in ("straight", "killed"))
    assert result["kills"] == places
    names = sorted(path.name for path in straight.glob("*.ckpt"))
    assert LAST in names
    assert sorted(path.name for path in killed.glob("*.ckpt")) == names
    for name in names:
        assert (killed / name).read_bytes() == (straight / name).read_bytes(), name
    steps = [[row["step"] for row in read_curves(folder / METRICS)] for folder in (straight, killed)]
    assert steps[0] == steps[1]
    assert not list(killed.glob(".*.ckpt.*"))


def test_pretraining_on_one_rank(mother: Mother, videos: Path, tmp_path: Path) -> None:
    check(mother, pretraining(videos, workers=2), tmp_path, ranks=1)


def test_pretraining_on_two_ranks(mother: Mother, videos: Path, tmp_path: Path) -> None:
    check(mother, pretraining(videos, workers=1), tmp_path, ranks=2)


def test_finetuning_on_one_rank(mother: Mother, labelled: Path, tmp_path: Path) -> None:
    check(mother, finetuning(labelled, workers=2), tmp_path, ranks=1)


def test_finetuning_on_two_ranks(mother: Mother, labelled: Path, tmp_path: Path) -> None:
    """Without loader processes."""
    check(mother, finetuning(labelled, workers=0), tmp_path, ranks=2)


def test_sigterm_checkpoints_and_exits_130(videos: Path, tmp_path: Path) -> None:
    """A process as a user starts it."""
    out = tmp_path / "run"
    words = [
        "pretrain",
        f"--data.root={videos}",
        f"--out={out}",
        f"--max_steps={STEPS}",
        "--engine.loggers=[csv]",
        *TINY_SLIM,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "rspnet", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if (out / LAST).exists() and load_checkpoint(out / LAST)["step"] >= 3:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert 3 <= load_checkpoint(out / LAST)["step"] < STEPS
    assert main([*words, "--resume"]) == 0
    assert load_checkpoint(out / LAST)["step"] == STEPS
