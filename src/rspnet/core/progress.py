"""A progress bar on a terminal, a line every half minute in a log file; notes to the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from rspnet.core.console import PlainConsole
from rspnet.core.ranks import rank

Item = TypeVar("Item")
_HEARTBEAT_SECONDS = 30.0


def track(
    items: Iterable[Item], *, total: int, what: str, share: Callable[[Item], float] = lambda _: 1.0
) -> Iterator[Item]:
    """Yield `items` while showing how many of `total` are done and how long the rest will take (on rank 0's stderr).

    Args:
        items: what is done.
        total: how many there are.
        what: what to call them.
        share: how much of one of `total` an item is, where several items make one.
    """
    console = PlainConsole(stderr=True, quiet=rank() > 0)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("eta"))
    started = told = perf_counter()
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=console.quiet or not console.is_terminal
    ) as progress:
        task = progress.add_task(what, total=total)
        done = 0.0
        for item in items:
            yield item
            done += share(item)
            progress.update(task, completed=done)
            if progress.disable and perf_counter() - told > _HEARTBEAT_SECONDS:
                told = perf_counter()
                left = f"{(told - started) / done * (total - done) / 60:.1f} min" if done else "..."
                shown = f"{done:.1f}" if total < 100 and done % 1 else f"{done:,.0f}"
                console.print(f"{shown}/{total:,} {what}, eta {left}")


def print_note(console: Console, text: str) -> None:
    """Print something the user should know, on one unbroken line (a path can be copied)."""
    console.print(Text.assemble(("note:", "yellow"), f" {text}"))
