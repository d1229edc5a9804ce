"""What a worker process of `rspnet.core.workers` does."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from rspnet.core.heartbeat import note, report_to

_FEW_FILES = 1000
"""Below this limit of open files results travel as copies: a tensor in shared memory takes a file until it is freed."""


def serve(work: Callable[[Any], Any], pipe: Connection, progress: Any, environment: dict[str, str]) -> None:
    """A worker's life: take a task, send (None, result) or (error, None), until the parent is gone."""
    os.environ.clear()  # the fork server's is the parent's of the time when it started: keys of a store may be newer
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    report_to(progress)
    few_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _FEW_FILES
    gc.freeze()  # what was imported stays: looking through it again and again doubled the time to open a long video
    with suppress(EOFError, OSError):
        while True:
            task = pipe.recv()
            note(-1)
            try:
                answer = None, work(task)
            except Exception as error:
                error.add_note("in a worker process:\n" + traceback.format_exc())
                pipe.send((error, None))
            else:
                _send(pipe, answer, as_copy=few_files)


def _send(pipe: Connection, answer: object, *, as_copy: bool) -> None:
    """Send to `Connection.recv`; without `as_copy` tensors go as memory that both processes share."""
    if as_copy:
        pipe.send_bytes(pickle.dumps(answer))
    else:
        pipe.send(answer)
