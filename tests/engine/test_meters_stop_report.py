"""Running means, stop requests, curves and heartbeat lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from rspnet.core.errors import ConfigError
from rspnet.engine.curves import METRICS, CsvCurves, WandbCurves, read_curves
from rspnet.engine.meters import Meters
from rspnet.engine.report import Reporter
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
