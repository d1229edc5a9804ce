"""Real processes: a run killed at any moment resumes to the same bytes; two ranks compute what two virtual ranks do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.clips_on_disk import TINY, write_videos

from rspnet.engine.checkpoint import LAST, load_checkpoint

STEPS = 12


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


def command(videos: Path, out: Path, *more: str) -> list[str]:
    options = ["--data.root", str(videos), "--out", str(out), f"--max_steps={STEPS}", "--engine.loggers=[csv]"]
    return [sys.executable, "-m", "rspnet", "pretrain", *options, *TINY, *more]


def finish(words: list[str], *, folder: Path | None = None) -> None:
    """Run to the end, in `folder`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr


def start_and_end(words: list[str], out: Path, *, number: int, after_step: int, folder: Path | None = None) -> int:
    """Start a run, wait for the checkpoint of a step, end it by a signal; returns the exit code."""
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (out / LAST).exists() and load_checkpoint(out / LAST)["step"] >= after_step:
            break
        time.sleep(0.02)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    return process.wait(timeout=60)


def test_kill_9_in_mid_epoch_and_resume_is_byte_identical(videos: Path, tmp_path: Path) -> None:
    """Other numbers of workers, ranks and commands are in test_kills.py."""
    kill_at = 5
    words = command(videos, Path("run"), "--engine.checkpoint_every=1", "--data.num_workers=1", "--resume")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    finish(words, folder=straight)
    checkpoint = killed / "run" / LAST
    code = start_and_end(words, killed / "run", number=signal.SIGKILL, after_step=kill_at, folder=killed)
    assert code == -signal.SIGKILL
    assert kill_at <= load_checkpoint(checkpoint)["step"] < STEPS
    finish(words, folder=killed)
    assert checkpoint.read_bytes() == (straight / "run" / LAST).read_bytes()


def test_sigterm_checkpoints_and_exits_130(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert start_and_end(command(videos, out), out, number=signal.SIGTERM, after_step=3) == 130
    saved = load_checkpoint(out / LAST)
    assert 3 <= saved["step"] < STEPS
    finish(command(videos, out, "--resume"))
    assert load_checkpoint(out / LAST)["step"] == STEPS


def test_two_gloo_ranks_equal_two_virtual_ranks(videos: Path, tmp_path: Path) -> None:
    """Ranks that Fabric starts; those of torchrun are in test_distributed.py."""
    steps = ["--max_steps=10", "--optim.name=sgd", "--optim.lr=0.01"]
    virtual = command(videos, tmp_path / "virtual", *steps, "--model.virtual_ranks=2")
    finish(virtual)
    finish(command(videos, tmp_path / "real", *steps, "--engine.devices=2"))
    states = [load_checkpoint(tmp_path / name / LAST)["model"] for name in ("virtual", "real")]
    for key, value in states[0].items():
        if value.is_floating_point():
            torch.testing.assert_close(
                states[1][key], value, rtol=1e-5, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
            )
        else:
            assert torch.equal(states[1][key], value), key
