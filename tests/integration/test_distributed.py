"""Layouts of ranks compute the same; torchrun restarts a run that lost a worker; two hosts; ranks fail together."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.clips_on_disk import TINY_SLIM, write_videos
from helpers.forking import Mother

from rspnet.core.run_files import LAST
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.engine.curves import METRICS, read_curves

pytestmark = pytest.mark.timeout(900)
TESTS = Path(__file__).resolve().parents[1]
STEPS = 10
SGD = [f"--max_steps={STEPS}", "--optim.name=sgd", "--optim.lr=0.01", "--engine.log_every=1", "--data.batch_size=8"]
OFTEN = ["--engine.checkpoint_every=1", "--resume"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def environment() -> dict[str, str]:
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"), count=16)


def words(videos: Path, out: Path, *more: str) -> list[str]:
    return ["pretrain", f"--data.root={videos}", f"--out={out}", *TINY_SLIM, "--engine.loggers=[csv]", *SGD, *more]


@pytest.fixture(scope="module")
def layouts(mother: Mother, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training as R ranks of V virtual ones each, in R-V."""
    base = tmp_path_factory.mktemp("layouts")
    for ranks, virtual in ((1, 1), (1, 2), (2, 1)):
        run = words(videos, base / f"{ranks}-{virtual}", f"--model.virtual_ranks={virtual}", *OFTEN)
        mother.run(run, ranks=ranks, log=base / "log.txt")
    return base


def assert_same_training(one: Path, other: Path, *, within: float = 1e-5) -> None:
    """Losses of every step, weights, statistics and queue."""
    rows = [read_curves(folder / METRICS) for folder in (one, other)]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for name in ("loss", "appearance_loss", "motion_loss"):
        left, right = ([float(row[name]) for row in part] for part in rows)
        assert left == pytest.approx(right, abs=within, rel=within)
    states = [load_checkpoint(folder / LAST)["model"] for folder in (one, other)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        if value.is_floating_point():
            assert (states[1][key] - value).abs().max() <= within, key
        else:
            assert torch.equal(states[1][key], value), key


def test_two_ranks_compute_what_two_virtual_ranks_do(layouts: Path) -> None:
    """In float32. Four ranks and mixtures are compared in float64 in tests/pretext/test_virtual_ranks.py: sums of four
    depend on their order, and batch norms over a few values turn such a rounding into another training in ten steps.
    """
    assert_same_training(layouts / "2-1", layouts / "1-2")


def test_the_comparison_can_fail(layouts: Path) -> None:
    with pytest.raises(AssertionError):
        assert_same_training(layouts / "1-1", layouts / "1-2", within=1e-3)


THREADS_AT_THE_END = """
import atexit, os, pathlib
def note():
    if "RANK" in os.environ:
        tasks = pathlib.Path("/proc/self/task").iterdir()
        names = [(task / "comm").read_text().strip() for task in tasks]
        pathlib.Path(__file__).with_name("threads" + os.environ["RANK"]).write_text("\\n".join(names))
atexit.register(note)  # the first to be registered runs last
"""


def test_torchrun_restarts_a_run_that_lost_a_worker(videos: Path, layouts: Path, tmp_path: Path) -> None:
    """The run resumes from its last checkpoint and ends with the bytes of one that was left alone.

    No rank leaves a thread of its process group behind.
    """
    (tmp_path / "sitecustomize.py").write_text(THREADS_AT_THE_END)
    noting = environment()
    noting["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    hit = tmp_path / "hit"
    elastic = [*TORCHRUN, "--standalone", "--nproc_per_node=2", "--max-restarts=1", "--monitor-interval=0.1"]
    elastic += ["-m", "rspnet", *words(videos, hit, "--model.virtual_ranks=1", *OFTEN)]
    with subprocess.Popen(elastic, env=noting, stderr=subprocess.PIPE, text=True) as process:
        victim = wait_for_worker(process, hit, after_step=3)
        os.kill(victim, signal.SIGKILL)
        _, error = process.communicate(timeout=400)
    assert process.returncode == 0, error
    assert "resuming at step" in error
    assert (hit / LAST).read_bytes() == (layouts / "2-1" / LAST).read_bytes()
    for rank in range(2):  # a thread of the process group that outlives Python may end the rank by SIGABRT
        assert "gloo" not in (tmp_path / f"threads{rank}").read_text()


def wait_for_worker(process: subprocess.Popen[str], out: Path, *, after_step: int) -> int:
    """The last of torchrun's workers, once the run has got somewhere but not to its end."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if (out / LAST).exists() and load_checkpoint(out / LAST)["step"] >= after_step:
            return max(children_of(process.pid))
        time.sleep(0.02)
    raise AssertionError("the run did not get there")


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def hosts() -> Iterator[list[tuple[str, str, str]]]:
    """Two network namespaces joined by a cable: (name, interface, address) each."""
    if shutil.which("ip") is None:
        pytest.skip("no ip command (Debian package iproute2)")
    names = [f"rspnet{os.getpid()}{side}" for side in "ab"]
    cables = [f"rsp{os.getpid() % 100_000}{side}" for side in "ab"]
    script = "\n".join(
        [
            "set -e",
            *(f"ip netns add {name}" for name in names),
            f"ip link add {cables[0]} type veth peer name {cables[1]}",
        ]
        + [
            f"ip link set {cable} netns {name}; ip -n {name} addr add 10.213.7.{number}/24 dev {cable}; "
            f"ip -n {name} link set {cable} up; ip -n {name} link set lo up"
            for number, (name, cable) in enumerate(zip(names, cables, strict=True), start=1)
        ]
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
        yield [
            (name, cable, f"10.213.7.{n}") for n, (name, cable) in enumerate(zip(names, cables, strict=True), start=1)
        ]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_two_hosts(
    mother: Mother, hosts: list[tuple[str, str, str]], videos: Path, layouts: Path, tmp_path: Path
) -> None:
    """One rank on each, over a network of its own, with what torchrun says in its environment."""
    run = words(videos, tmp_path / "run")
    mother.call("helpers.forking:run_on_hosts", run, hosts, str(tmp_path / "log.txt"))
    assert json.loads((tmp_path / "run" / "result.json").read_text())["protocol"]["ranks"] == 2
    assert_same_training(tmp_path / "run", layouts / "1-2")


def test_ranks_that_find_no_usable_video_end_together_and_name_them(tmp_path: Path) -> None:
    """Also on the very first batch, with Fabric's launcher: one error line, exit code 3, nothing killed."""
    bad = tmp_path / "bad"
    bad.mkdir()
    for number in range(30):
        (bad / f"{number}.mp4").write_bytes(b"no video")
    out = tmp_path / "run"
    options = [*words(bad, out, "--engine.devices=2", "--max_steps=1"), "--data.max_skipped=1"]
    done = subprocess.run(
        [sys.executable, "-m", "rspnet", *options], capture_output=True, text=True, check=False, timeout=400,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("rspnet: error:") == 1
    assert "Traceback" not in done.stderr
    rows = list(csv.DictReader((out / "skipped.csv").read_text().splitlines()))
    assert len(rows) >= 10
    assert all("not a readable video" in row["reason"] for row in rows)


def test_a_killed_rank_of_fabrics_launcher_ends_all_and_the_run_goes_on(
    mother: Mother, videos: Path, layouts: Path, tmp_path: Path
) -> None:
    """To what two virtual ranks compute."""
    out = tmp_path / "run"
    run = words(videos, out, "--engine.devices=2", *OFTEN)
    command = [sys.executable, "-m", "rspnet", *run]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        victim = wait_for_worker(process, out, after_step=1)
        os.kill(victim, signal.SIGKILL)
        _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not Path(f"/proc/{victim}").exists()
    assert 1 <= load_checkpoint(out / LAST)["step"] < STEPS, error
    mother.run(run, ranks=2, log=tmp_path / "log.txt")
    assert_same_training(out, layouts / "1-2")
