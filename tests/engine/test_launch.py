"""How many processes there are, by whoever started them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rspnet.core.ranks import launched_from_outside
from rspnet.engine.launch import _Observer
from rspnet.engine.processes import processes

STARTERS = ("TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_NNODES")


@pytest.mark.parametrize(
    ("environment", "found", "outside"),
    [
        ({}, (2, 3), False),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}, (4, 2), True),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, (4, 2), True),
        ({"SLURM_NTASKS": "1", "SLURM_NNODES": "1"}, (2, 3), False),
    ],
)
def test_processes(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: tuple[int, int], outside: bool
) -> None:
    for name in STARTERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes(devices=2, num_nodes=3) == found
    assert launched_from_outside() == outside


@pytest.mark.parametrize(("code", "ends"), [(0, False), (3, False), (130, False), (1, True), (-9, True)])
def test_all_ranks_are_ended_only_where_one_was_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: int, ends: bool
) -> None:
    how = f"import os, signal, sys; os.kill(os.getpid(), {-code}) if {code} < 0 else sys.exit({code})"
    children = [subprocess.Popen([sys.executable, "-c", how])]
    children[0].wait()
    ended = []
    monkeypatch.setattr(_Observer, "_terminate_all", lambda self: ended.append(True))
    assert _Observer(main_pid=0, child_processes=children)._run()
    assert ended == [True] * ends
    assert ("rank 1 ended with" in capfd.readouterr().err) == ends
