"""Tasks for worker processes: these must be importable by name there."""

from __future__ import annotations

import gc
import mmap
import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from rspnet.core.heartbeat import note
from rspnet.data.record_table import RecordTable


def variable(name: str) -> str | None:
    return os.environ.get(name)


def square(task: int) -> int:
    time.sleep(0.01 * (task % 3))
    return task * task


def risky(task: int | str) -> int | str:
    note(42)
    if task == "abort":
        os.abort()
    if task == "leave":
        os._exit(3)
    if task == "hang":
        time.sleep(60)
    if task == "raise":
        raise KeyError("as asked")
    return task


def busy(task: int) -> int:
    for step in range(8):
        note(step)
        time.sleep(0.25)
    return task


def frozen_objects(_: int) -> int:
    return gc.get_freeze_count()


class NotImportable:
    """Work of a module that worker processes do not find, from wherever they were started."""

    def __call__(self, task: int) -> int:
        return task

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return import_module, ("helpers.no_such_module",)


Part = tuple[str, int, int]


def part(task: Part) -> tuple[str, int, int]:
    """(name, part, parts): parts end out of order, and a part called "abort" ends its process at its third part."""
    name, number, _ = task
    time.sleep(0.005 * (number * 7 % 3))
    if name == "abort" and number == 2:
        os.abort()
    return name, number, os.getpid()


class Late:
    """A result that is lost where its process ends soon after, as a tensor in shared memory is."""

    def __init__(self, task: int | str, pid: int) -> None:
        self.task, self.pid = task, pid

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        time.sleep(0.3)
        try:
            os.kill(self.pid, 0)
            if Path(f"/proc/{self.pid}/stat").read_text().split()[2] == "Z":
                raise ConnectionResetError
        except (ProcessLookupError, FileNotFoundError) as error:
            raise ConnectionResetError from error


def late(task: tuple[int, str]) -> Late:
    """Notes the number of its task; the one called "abort" ends the process."""
    number, name = task
    note(number)
    if name == "abort":
        os.abort()
    return Late(name, os.getpid())


class NameOf:
    """The name of a record, and whether the records lie in memory that processes share."""

    def __init__(self, records: RecordTable) -> None:
        self._records = records

    def __call__(self, task: int) -> tuple[str, bool]:
        return self._records[task].name, isinstance(self._records._block.obj, mmap.mmap)
