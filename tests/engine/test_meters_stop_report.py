"""Running means, stop requests, curves and heartbeat lines."""

from __future__ import annotations

import csv
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event, SessionLog

from rspnet.core import cost
from rspnet.core.errors import ConfigError
from rspnet.engine import reporter as report
from rspnet.engine.curves import METRICS, CsvCurves, TensorBoardCurves, WandbCurves, read_curves
from rspnet.engine.meters import Meters
from rspnet.engine.reporter import Reporter
from rspnet.engine.stop import StopRequest, WaitEnded


def test_meters_are_means_since_the_last_reset_and_survive_a_checkpoint() -> None:
    meters = Meters()
    assert meters.means() == {}
    for value in (1.0, 2.0, 6.0):
        meters.update({"loss": torch.tensor(value), "accuracy": torch.tensor(value / 10)})
    other = Meters()
    other.load_state_dict(meters.state_dict(), device=torch.device("cpu"))
    assert other.means() == pytest.approx({"loss": 3.0, "accuracy": 0.3})
    meters.reset()
    meters.update({"loss": torch.tensor(5.0)})
    assert meters.means() == {"loss": 5.0}


def test_the_first_signal_only_sets_a_flag_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop.received
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received
        with pytest.raises(WaitEnded), stop.ends_waiting():
            raise AssertionError("nothing is waited for once a stop was asked for")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_ends_waiting() -> None:
    started = time.monotonic()
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with StopRequest() as stop, pytest.raises(WaitEnded), stop.ends_waiting():
        time.sleep(30)
    assert time.monotonic() - started < 5


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = (
        "import os, signal, time\nfrom rspnet.engine.stop import StopRequest\n"
        "with StopRequest():\n  os.kill(os.getpid(), signal.SIGINT)\n  print('first', flush=True)\n"
        "  os.kill(os.getpid(), signal.SIGINT)\n  time.sleep(5)\n  print('second')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "first\n")


def test_a_resumed_run_rewrites_the_rows_after_its_checkpoint(tmp_path: Path) -> None:
    curves = CsvCurves(tmp_path, 0)
    for step in (10, 20, 30):
        curves.write(step, {"loss": step / 10})
    curves.close()
    resumed = CsvCurves(tmp_path, 20)
    resumed.write(30, {"loss": 9.0})
    resumed.close()
    assert [(row["step"], row["loss"]) for row in read_curves(tmp_path / METRICS)] == [
        ("10", "1"),
        ("20", "2"),
        ("30", "9"),
    ]


def test_the_point_of_a_stop_is_dropped_by_the_resume(tmp_path: Path) -> None:
    for step, unfinished in ((0, False), (1, True)):
        words: dict[str, Any] = {"step": step, "unfinished": unfinished, "loggers": ("csv", "tensorboard")}
        with Reporter(tmp_path, total_steps=20, clips_per_step=8, shown={}, **words) as reporter:
            reporter.log(10 if step else 1, {"loss": 2.0})
        assert [row["step"] for row in read_curves(tmp_path / METRICS)] == ["10" if step else "1"]


def test_a_kill_while_a_resume_drops_rows_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = CsvCurves(tmp_path, 0)
    for step in (10, 20, 30):
        curves.write(step, {"loss": step / 10})
    curves.close()
    before = (tmp_path / METRICS).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(csv.DictWriter, "writerows", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            CsvCurves(tmp_path, 20)
    assert (tmp_path / METRICS).read_bytes() == before
    with (tmp_path / METRICS).open("a") as file:
        file.write("4")  # killed in the middle of step 40's row
    CsvCurves(tmp_path, 35).close()
    assert (tmp_path / METRICS).read_bytes() == before
    CsvCurves(tmp_path, 0).close()
    assert (tmp_path / METRICS).read_bytes() == b""


def test_reporter_writes_curves_and_heartbeat_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(
        tmp_path, total_steps=4, clips_per_step=8, shown={"loss": "loss"}, loggers=("csv", "tensorboard")
    )
    with reporter:
        for step in (1, 2):
            reporter.advance(step, waited=0.25, elapsed=1.0)
        reporter.log(2, {"loss": 1.5, "hidden": 2.0})
    line = capsys.readouterr().err
    assert "step 2/4  loss 1.500  8.0 clips/s  data wait 25%  eta" in line
    (row,) = read_curves(tmp_path / METRICS)
    assert (row["loss"], row["hidden"], row["clips_per_second"], row["data_wait_share"]) == ("1.5", "2", "8", "0.25")
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_the_time_left_is_right_from_the_second_step_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 10 s after a first one of 30 s."""
    now = 0.0
    monkeypatch.setattr(cost, "perf_counter", lambda: now)
    with Reporter(tmp_path, total_steps=20, clips_per_step=8, shown={"loss": "loss"}, loggers=()) as reporter:
        for step in range(1, 21):
            now += 30.0 if step == 1 else 10.0
            reporter.advance(step, waited=0.0, elapsed=10.0)
            if step in (1, 2, 5):
                reporter.show(step, {"loss": 1.0})
            elif step % 10 == 0:
                reporter.log(step, {"loss": 1.0})
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step")]
    assert [line.partition("eta ")[2] for line in lines] == ["...", "3 min", "2.5 min", "1.67 min", ""]
    assert lines[0] == "step 1/20  loss 1.000  eta ..."
    assert lines[-1] == "step 20/20  loss 1.000  0.8 clips/s  data wait 0%"


def test_other_ranks_are_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(tmp_path, total_steps=2, clips_per_step=8, shown={}, active=False) as reporter:
        reporter.advance(1, waited=0.0, elapsed=1.0)
        reporter.log(1, {"loss": 1.0})
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.iterdir())


def test_wandb_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'rspnet\[wandb\]'"):
        WandbCurves(tmp_path, 0)


class FakeRun:
    """What `wandb.init` gives back."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.logged: list[tuple[int, dict[str, float]]] = []

    def log(self, metrics: dict[str, float], *, step: int) -> None:
        self.logged.append((step, metrics))

    def finish(self) -> None:
        pass


def test_wandb_continues_the_run_and_logs_no_step_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[FakeRun] = []

    def init(**options: Any) -> FakeRun:
        runs.append(FakeRun(**options))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    killed = WandbCurves(tmp_path, 0)
    for step in (10, 20, 30):
        killed.write(step, {"loss": 1.0})
    resumed = WandbCurves(tmp_path, 20)
    for step in (30, 40):
        resumed.write(step, {"loss": 1.0})
    assert [[step for step, _ in run.logged] for run in runs] == [[10, 20, 30], [40]]
    assert runs[0].options["id"] == runs[1].options["id"]
    assert runs[1].options["resume"] == "allow"
    WandbCurves(tmp_path, 0)  # a new run in the place of the old
    assert runs[2].options["id"] != runs[0].options["id"]


def test_tensorboard_hides_the_points_that_a_resumed_run_writes_again(tmp_path: Path) -> None:
    """TensorBoard drops what an earlier file has at or after the step of a later file's start record."""
    for start, steps in ((0, (10, 20, 30)), (20, (30, 40))):
        curves = TensorBoardCurves(tmp_path, start)
        for step in steps:
            curves.write(step, {"loss": float(step)})
        curves.close()
        time.sleep(1.1)  # files are named by the second
    shown: list[int] = []
    for path in sorted((tmp_path / "tensorboard").iterdir()):
        for record in records_of(path):
            if record.session_log.status == SessionLog.START and record.step:
                shown = [step for step in shown if step < record.step]
            if record.summary.value:
                shown.append(record.step)
    assert shown == [10, 20, 30, 40]


def records_of(path: Path) -> Iterator[Event]:
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_a_line_a_minute_where_logs_are_far_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_HEARTBEAT_SECONDS", 0.0)
    with Reporter(tmp_path, total_steps=9, clips_per_step=8, shown={}, loggers=()) as reporter:
        reporter.advance(3, waited=0.0, elapsed=1.0)
    assert "step 3/9  eta" in capsys.readouterr().err
