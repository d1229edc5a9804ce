"""The one exception tree of this package.

Everything a user can cause is an `RSPNetError`: its text is one line that names the file, argument or value at
fault, the rule it breaks and, where there is one, the cure. The command line prints it and exits with `exit_code`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast


def reason_of(error: Exception) -> str:
    """What went wrong, on one line and without the name of the file, which the message around it has."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(why.split()) or type(error).__name__


class RSPNetError(ValueError):
    """Any error a user can cause; `exit_code` is what the command line ends with."""

    exit_code = 2


class ConfigError(RSPNetError):
    """An option, recipe or combination of options that makes no sense."""


class DecodeError(RSPNetError):
    """A video that cannot be read, wholly or at the frames asked for."""

    def __init__(self, path: str | os.PathLike[str], why: str) -> None:
        # What is read from a URL has a path of its own kind (`core.urls`), which `Path` would damage.
        self.path = Path(path) if isinstance(path, str | Path) else cast(Path, path)
        self.why = why
        super().__init__(f"cannot decode {str(self.path)!r}: {why}")

    def __reduce__(self) -> tuple[type[DecodeError], tuple[Path, str]]:
        return type(self), (self.path, self.why)


class CheckpointError(RSPNetError):
    """A weights or checkpoint file that is damaged, foreign, or does not fit."""


class TooManySkippedError(RSPNetError):
    """More videos had to be left out than `max_skipped` allows; `skipped` are the last of them."""

    exit_code = 3

    def __init__(self, message: str, *, skipped: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.skipped = list(skipped)


class DivergedError(RSPNetError):
    """The loss became infinite, NaN, or far larger than it was."""

    exit_code = 4


class NotEnoughMemoryError(RSPNetError):
    """Memory of the machine or of the GPU ran out."""

    exit_code = 5


_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch says that memory ran out."""
    is_named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return is_named or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY))


class OtherRankError(RSPNetError):
    """Another rank failed and says why; this one ends with the same exit code, silently."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
