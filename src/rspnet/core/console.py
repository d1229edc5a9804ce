"""Where commands talk to people: text stands as it is, whatever is in it."""

from __future__ import annotations

import sys

from rich.console import Console

from rspnet.core.streams import silence


class PlainConsole(Console):
    """A console that prints names of files and classes raw: nothing in them is read as markup, emoji or a number.

    Args:
        stderr: write there, not to standard output.
        quiet: write nothing.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Nobody reads any more: progress and notes (standard error) fall silent, results end the command.

        Raises:
            BrokenPipeError: this is standard output.
        """
        if not self.stderr:
            raise BrokenPipeError
        self.quiet = True
        silence(sys.stderr)
