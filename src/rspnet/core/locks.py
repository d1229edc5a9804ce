"""One process at a time: a lock that the system lets go of when its holder dies, however it dies."""

from __future__ import annotations

import atexit
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from rspnet.core.errors import RSPNetError

LOCK = ".lock"
"""What the file is called in a folder that one process works on."""


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Whether this process has `file` to itself while inside; it exists so long, and names its holder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = file.open("a+")
    while (ours := _take(handle)) and not _is_still_there(handle, file):  # its holder took it away at its end
        handle.close()
        handle = file.open("a+")
    with handle:
        if not ours:
            yield False
            return
        real = os.path.realpath(file)
        _ours.add(real)
        try:
            yield True
        finally:
            _ours.discard(real)
            with suppress(OSError):
                file.unlink()


@contextmanager
def holding() -> Iterator[None]:
    """Whatever folders are taken by `hold` inside are let go of at the end; `hold` outside keeps them for good."""
    with ExitStack() as stack:
        _scopes.append(stack)
        try:
            yield
        finally:
            _scopes.remove(stack)


def hold(folder: Path) -> None:
    """Take a folder for the command that runs now (see `holding`): a second time in this process changes nothing.

    Raises:
        RSPNetError: another process is at work in it (it is named), or the folder cannot be written.
    """
    file = folder / LOCK
    if os.path.realpath(file) in _ours:
        return
    try:
        if _scopes[-1].enter_context(claimed(file)):
            return
        raise _in_use(folder)
    except OSError as error:
        raise RSPNetError(f"cannot write {str(file)!r}: {error.strerror or error}") from error


def refuse_held(folder: Path) -> None:
    """Raise the `RSPNetError` of `hold` where another process is at work in a folder; takes and writes nothing."""
    file = folder / LOCK
    if os.path.realpath(file) in _ours:
        return
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), file.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(folder) from None


def _in_use(folder: Path) -> RSPNetError:
    holder = (folder / LOCK).read_text(encoding="utf-8", errors="replace")
    return RSPNetError(
        f"{str(folder)!r} is in use by another run of rspnet ({holder or 'it has just started'}): "
        "wait for it to end, or name another folder"
    )


_ours: set[str] = set()
"""Real paths of the lock files that this process has."""
_scopes: list[ExitStack] = [ExitStack()]
atexit.register(_scopes[0].close)  # before the modules that it needs are gone


def _is_still_there(handle: IO[str], file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), file.stat())
    except FileNotFoundError:
        return False


def _take(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks (some network ones): better unguarded than not at all
        return True
    handle.truncate(0)
    handle.write(f"process {os.getpid()} on {socket.gethostname()}")
    handle.flush()
    return True
