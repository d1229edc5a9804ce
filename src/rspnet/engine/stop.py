"""Ending a run in good order when a person or a scheduler asks for it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Literal, Self

from rspnet.core.ranks import rank

STOPPED_EXIT_CODE = 130


class Stopped(Exception):  # noqa: N818 - no error: a training was asked to stop and wrote its checkpoint
    """Raised by a command that runs others when one of them was stopped by a signal."""


class WaitEnded(BaseException):
    """A stop was asked for while waiting; no `Exception`, so that nothing on the way takes it for a failure."""


SecondStop = Literal["exit", "interrupt"]


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only sets a flag, and says so on standard error.

    Only the main thread hears signals: elsewhere nothing is ever received.

    Args:
        second: what a second signal does: "exit" ends the process at once, "interrupt" raises KeyboardInterrupt, for
            programs that live on.
    """

    def __init__(self, *, second: SecondStop = "exit") -> None:
        self._second = second
        self.received = False
        self._waiting = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.received:
            if self._second == "interrupt":
                raise KeyboardInterrupt
            os._exit(STOPPED_EXIT_CODE)
        self.received = True
        if rank() == 0:
            with suppress(OSError):  # not print: the signal may have come in the middle of a print
                os.write(2, b"\nstopping: what is done is kept; a second time ends at once\n")
        if self._waiting:
            self._waiting = False
            raise WaitEnded

    @contextmanager
    def ends_waiting(self) -> Iterator[None]:
        """Wait for something inside, however long: a request to stop ends it.

        Raises:
            WaitEnded: a stop is or was asked for.
        """
        self._waiting = True
        try:
            if self.received:
                raise WaitEnded
            yield
        finally:
            self._waiting = False
