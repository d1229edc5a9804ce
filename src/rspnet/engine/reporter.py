"""What a person sees of a run: a progress bar on a terminal, heartbeat lines in a log file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rspnet.core.console import PlainConsole
from rspnet.core.cost import CostMeter, as_time
from rspnet.core.counts import counted
from rspnet.core.progress import print_note
from rspnet.engine.curves import CURVES

_HEARTBEAT_SECONDS = 60.0


class Reporter:
    """Progress, speed and curves of one run; silent on all ranks but the first.

    Args:
        folder: run folder.
        total_steps, step: where the run ends and where it starts now.
        clips_per_step: for the clips/s figure.
        shown: names of the metrics on the progress line and their short labels.
        loggers: any of "csv", "tensorboard", "wandb".
        unfinished: the curves may hold a point at `step`, of a stop between two regular ones; it is dropped.
        active: False on all ranks but the first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        total_steps: int,
        clips_per_step: int,
        shown: Mapping[str, str],
        loggers: Iterable[str] = ("csv",),
        step: int = 0,
        unfinished: bool = False,
        active: bool = True,
    ) -> None:
        self.active = active
        self._clips_per_step = clips_per_step
        self._shown = shown
        self._total = total_steps
        self._console = PlainConsole(stderr=True, quiet=not active)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[line]}"),
            TimeElapsedColumn(), TextColumn("eta {task.fields[eta]}"),
            console=self._console, disable=not (active and self._console.is_terminal),
        )  # fmt: skip
        self._task = self._progress.add_task("training", total=total_steps, completed=step, line="", eta="...")
        self._cost = CostMeter(total_steps - step, bytes_per_item=0)
        self._curves = [CURVES[name](folder, step, unfinished) for name in loggers] if active else []
        self._steps, self._waited, self._elapsed = 0, 0.0, 0.0
        self._told = perf_counter()

    def __enter__(self) -> Self:
        self._progress.start()
        self._told = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        for curves in self._curves:
            curves.close()

    def advance(self, step: int, *, waited: float, elapsed: float) -> None:
        """Count a step that took `elapsed` seconds, `waited` of them for data; write to a log file now and then."""
        self._steps += 1
        self._waited += waited
        self._elapsed += elapsed
        self._cost.add(1, 1)
        self._progress.update(self._task, completed=step, eta=self._eta)
        if step < self._total and (cost := self._cost.foretold()):
            print_note(
                self._console, f"still to do: {counted(self._total - step, 'step')}, about {as_time(cost.seconds)}"
            )
        if perf_counter() - self._told > _HEARTBEAT_SECONDS:
            self._tell(step, "")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one point of every curve and one line."""
        speed = self._clips_per_step * self._steps / self._elapsed if self._elapsed else 0.0
        wait = self._waited / self._elapsed if self._elapsed else 0.0
        self._steps, self._waited, self._elapsed = 0, 0.0, 0.0
        if not self.active:
            return
        row = {**metrics, "clips_per_second": speed, "data_wait_share": wait}
        for curves in self._curves:
            curves.write(step, row)
        self._line(step, metrics, f"{speed:.1f} clips/s", f"data wait {wait:.0%}")

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the means so far; no curve gets a point."""
        self._line(step, metrics)

    @property
    def _eta(self) -> str:
        left = self._cost.left()
        return as_time(left.seconds) if left else "..."

    def _line(self, step: int, metrics: Mapping[str, float], *more: str) -> None:
        parts = [f"{label} {metrics[name]:.3f}" for name, label in self._shown.items() if name in metrics]
        line = "  ".join([*parts, *more])
        self._progress.update(self._task, line=line)
        self._tell(step, f"{line}  ")

    def _tell(self, step: int, line: str) -> None:
        """A line of a log file; on a terminal the bar says it all."""
        self._told = perf_counter()
        if self._progress.disable:
            eta = f"eta {self._eta}" if step < self._total else ""
            self._console.print(f"step {step}/{self._total}  {line}{eta}".rstrip())
