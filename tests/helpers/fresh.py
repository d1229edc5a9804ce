"""Fresh processes that need not import torch: they come from the fork server of the tests (see conftest.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import helpers.narrow  # noqa: F401 - registers a backbone, in the processes too
import torch.multiprocessing as mp


def start_processes(job: Callable[..., None], args: tuple[Any, ...] = (), nprocs: int = 1) -> None:
    """`torch.multiprocessing.spawn`: the job, which gets its number and `args`, in several processes, to their end."""
    mp.start_processes(_run, args=(job, *args), nprocs=nprocs, start_method="forkserver")


def _run(number: int, job: Callable[..., None], *args: Any) -> None:
    job(number, *args)
