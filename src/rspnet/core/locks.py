"""One process at a time: a lock that the system lets go of when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"
"""What the file is called in a folder that one process works on."""


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Whether this process has `file` (made where it is missing, never read) to itself while inside."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
