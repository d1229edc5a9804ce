"""Standard output and standard error whose reader may go at any time (`rspnet predict ... | head`)."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import TextIO

from rspnet.core.errors import RSPNetError

CLOSED_PIPE_EXIT_CODE = 141
"""What a shell reports of a program that SIGPIPE ended."""


def open_closed_streams() -> None:
    """Lead a standard stream that the shell closed (`>&-`, `2>&-`) to nowhere.

    Else the first file that is opened gets its number, here or in a worker, and what a library prints goes into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115, PTH123 - for good
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def print_any_name() -> None:
    """Let standard output take names of files that are no valid text: bytes of another encoding are shown as \\xNN."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush_results() -> None:
    """Write out what was printed.

    Raises:
        BrokenPipeError: nobody reads it any more.
        RSPNetError: it cannot be written, say to a full disk.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        raise RSPNetError(f"cannot write the output: {error.strerror or error}") from error


def is_closed(stream: TextIO | None) -> bool:
    """Whether a stream leads into a pipe or socket that nobody reads."""
    try:
        descriptor = -1 if stream is None else stream.fileno()
        poll = select.poll()
        poll.register(descriptor, 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def silence(stream: TextIO | None) -> None:
    """Lead a stream to nowhere, so that what Python still holds back for it is no error."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)
