"""Where commands talk to people: text stands as it is, whatever is in it."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from rspnet.core.streams import silence

_NO_END = 10_000
"""Columns of a file or a pipe, where nothing must be broken: paths are to be copied and searched for."""


class PlainConsole(Console):
    """A console that prints names of files and classes raw: nothing in them is read as markup, emoji or a number.

    Text is never broken into lines here; a terminal breaks it where its window ends. Tables fit a terminal, and are as
    wide as they need be where there is none.

    Args:
        stderr: write there, not to standard output.
        quiet: write nothing.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = _NO_END

    def print(self, *objects: Any, **options: Any) -> None:
        """As of `Console`; text stays on its line."""
        is_text = all(isinstance(one, (str, Text)) for one in objects)
        super().print(*objects, **{"soft_wrap": is_text} | options)

    def rule(self, title: Any = "", **options: Any) -> None:
        """A heading."""
        if self.is_terminal:
            super().rule(title, **options)
        else:
            self.print(f"-- {title}")

    def on_broken_pipe(self) -> None:
        """Nobody reads any more: progress and notes (standard error) fall silent, results end the command.

        Raises:
            BrokenPipeError: this is standard output.
        """
        if not self.stderr:
            raise BrokenPipeError
        self.quiet = True
        silence(sys.stderr)
