"""A folder belongs to one process at a time, and to nobody once that process is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from rspnet.core.errors import RSPNetError
from rspnet.core.locks import LOCK, claimed, hold, holding

HOLD = """
import subprocess, sys, time
from pathlib import Path
from rspnet.core.locks import hold
hold(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # as a loader: it outlives a kill
print(child.pid, flush=True)
time.sleep(600)
"""


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.kill(child, signal.SIGKILL)


def test_a_folder_is_held_until_its_holder_dies(tmp_path: Path) -> None:
    with other_process(tmp_path / "run") as holder:
        (tmp_path / "link").symlink_to(tmp_path / "run")
        for name in ("run", "link"):
            with holding(), pytest.raises(RSPNetError, match=rf"/{name}' is in use by .*process {holder.pid} on "):
                hold(tmp_path / name)
        holder.kill()  # no chance to tidy up, and its child lives
        holder.wait()
        with holding():
            hold(tmp_path / "run")
            hold(tmp_path / "link")
        with claimed(tmp_path / "run" / LOCK) as ours:
            assert ours


def test_one_process_may_come_again_and_lets_go_at_the_end(tmp_path: Path) -> None:
    with holding():
        hold(tmp_path)
        with holding():
            hold(tmp_path)
        with claimed(tmp_path / LOCK) as ours:
            assert not ours
        assert f"process {os.getpid()}" in (tmp_path / LOCK).read_text()
    assert not (tmp_path / LOCK).exists()
    with claimed(tmp_path / LOCK) as ours:
        assert ours
        hold(tmp_path)
    with claimed(tmp_path / LOCK) as ours:
        assert ours


def test_many_claims_of_many_threads_are_never_two_at_once(tmp_path: Path) -> None:
    """The file goes away with every holder; one that was opened before must not count."""
    inside, most, taken = [0], [0], [0]
    guard = threading.Lock()

    def claim_often(_: int) -> None:
        for _ in range(300):
            with claimed(tmp_path / LOCK) as ours:
                if ours:
                    with guard:
                        inside[0] += 1
                        taken[0] += 1
                        most[0] = max(most[0], inside[0])
                    time.sleep(0)
                    with guard:
                        inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim_often, range(8)))
    assert most == [1]
    assert taken[0] > 8


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with holding(), pytest.raises(RSPNetError, match=r"cannot write '.*file/\.lock'"):
        hold(tmp_path / "file")
