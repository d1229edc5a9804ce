"""Settings of every test: one thread, because tests run side by side on few cores; which tests are slow."""

from __future__ import annotations

import gc
import os
import signal
from functools import cache
from multiprocessing import forkserver
from pathlib import Path

# Before numpy and torch are there, and for every process that a test starts: idle threads of a pool spin.
os.environ |= dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
gc.disable()  # while hundreds of modules are imported, which all stay

import docstring_parser  # noqa: E402
import helpers.narrow  # noqa: E402, F401 - registers a backbone
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

# A shell starts what runs in its background deaf to Ctrl-C; tests that send it need the usual ears.
signal.signal(signal.SIGINT, signal.default_int_handler)

_WORKED_FROM = ["rspnet.data.loader", "rspnet.data.labelled_clips", "rspnet.data.checks.inspection"]
_WORKED_FROM += ["rspnet.video.transcode", "rspnet.search.ui.decoding", "rspnet.pretext.methods"]
_set_preload = forkserver.set_forkserver_preload
# One fork server serves all tests of a process; a command's own has imported what that command needs.
_set_preload(_WORKED_FROM)
forkserver.set_forkserver_preload = lambda _names: None

# Every command of a test makes its parser, whose options are explained by docstrings: each is read once a process.
docstring_parser.parse_from_object = cache(docstring_parser.parse_from_object)

SLOW_ROOMS = ("commands", "integration", "lab")
"""Folders of tests that run whole commands or several processes."""


def pytest_collection_finish() -> None:
    """From here on garbage is collected again, but never looked for in what was imported."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow folders, so that `make test-fast` leaves them out, and begin with these.

    The last file of a run is then a short one. The folders take turns, file by file: tests that wait for processes run
    beside tests that compute.
    """
    here = Path(__file__).parent
    turns: dict[str, dict[Path, int]] = {room: {} for room in SLOW_ROOMS}
    last = len(items)

    def turn(item: pytest.Item) -> int:
        files = turns.get(item.path.relative_to(here).parts[0])
        return last if files is None else files.setdefault(item.path, len(files))

    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW_ROOMS:
            item.add_marker(pytest.mark.slow)
    items.sort(key=turn)
