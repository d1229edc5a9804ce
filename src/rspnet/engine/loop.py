"""The training loop. It knows batches, a step function and an optimiser; it does not know RSPNet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from rspnet.core.distributed import highest
from rspnet.core.errors import RSPNetError
from rspnet.core.ranks import raise_together
from rspnet.core.rng import derive_seed
from rspnet.engine.divergence import DivergenceWatch
from rspnet.engine.meters import Meters
from rspnet.engine.reporter import Reporter
from rspnet.engine.stop import SecondStop, StopRequest, WaitEnded

Step = Callable[[Any, int], Mapping[str, Tensor]]
"""(batch, step number) -> named 0-dim tensors to report; it runs forward and backward."""


_GO_ON, _STOP, _FAIL = 0, 1, 2
_FIRST_SAID = (1, 2, 5)
"""Steps of a training after which its means are shown before the first point of its curves."""


@dataclass
class Loop:
    """One training from `step` to `total_steps`.

    `train_step` leaves gradients behind; `save(step, epoch_ends)` starts writing a checkpoint, `poll` raises where that
    has failed, `failing` is called on every rank before the failure of any rank's batches is raised. Returns from `run`
    say whether training reached its end (True) or was asked to stop (False); in both cases the last step is saved.
    """

    fabric: Fabric
    model: torch.nn.Module
    optimizer: Any
    learning_rate: Callable[[int], float]
    train_step: Step
    save: Callable[[int, bool], None]
    poll: Callable[[], None]
    failing: Callable[[], None]
    watch: DivergenceWatch
    seed: int
    total_steps: int
    steps_per_epoch: int
    log_every: int
    checkpoint_every: int | None = None
    clip_grad_norm: float | None = None
    second_stop: SecondStop = "exit"
    step: int = 0
    meters: Meters = field(default_factory=Meters)

    def run(self, batches: Iterable[Any], reporter: Reporter) -> bool:
        """Train on `batches`, which start at `self.step`.

        Raises:
            DivergedError: the loss is not finite, or has exploded.
            RSPNetError: the batches or a checkpoint failed, on this rank or on another.
        """
        source = iter(batches)
        with StopRequest(second=self.second_stop) as stop, reporter:
            told = perf_counter()
            while self.step < self.total_steps:
                waiting_since = perf_counter()
                batch = self._next(source, stop)
                if batch is None:
                    self.watch.look(saving=True)
                    if len(self.meters):
                        self._log(reporter)
                    self.save(self.step, False)
                    return False
                waited = perf_counter() - waiting_since
                self._one_step(batch)
                self.step += 1
                ends = self.step == self.total_steps
                log = self.step % self.log_every == 0 or ends
                epoch_ends = self.step % self.steps_per_epoch == 0 or ends
                due = self.checkpoint_every is not None and self.step % self.checkpoint_every == 0
                if log or epoch_ends or due:
                    self.watch.look(saving=epoch_ends or due)  # waits for the device: the time below is of all it did
                now = perf_counter()
                reporter.advance(self.step, waited=waited, elapsed=now - told)  # with the save of the step before
                told = now
                if log:
                    self._log(reporter)
                    self.meters.reset()
                elif self.step in _FIRST_SAID and self.step < self.log_every:
                    reporter.show(self.step, self.meters.means())
                if epoch_ends or due:
                    self.save(self.step, epoch_ends)
        return True

    def _next(self, source: Iterator[Any], stop: StopRequest) -> Any:
        """The next batch, or None where a rank was asked to stop; all ranks go on, stop or fail together."""
        batch, failure = None, None
        try:
            self.poll()
            with stop.ends_waiting():
                batch = next(source)
        except WaitEnded:
            pass
        except RSPNetError as error:
            failure = error
        state = _FAIL if failure is not None else _STOP if stop.received else _GO_ON
        state = highest(state)
        if state == _FAIL:
            self.failing()
            raise_together(failure)
        return batch if state == _GO_ON else None

    def _one_step(self, batch: Any) -> None:
        torch.manual_seed(derive_seed(self.seed, "step", self.step, self.fabric.global_rank))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        metrics = self.train_step(batch, self.step)
        self.meters.update(metrics)
        self.watch.note(self.step, batch, metrics)
        if self.clip_grad_norm is not None:
            self._clip_gradients(self.clip_grad_norm)
        self.optimizer.step()

    def _clip_gradients(self, max_norm: float) -> None:
        """Scale gradients down to a norm.

        Not by Fabric, which refuses this for fused optimisers in fp16; torch's scaler allows it: gradients that were
        unscaled before the step are not unscaled again, and a step with an infinite one is left out all the same.
        """
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        if scaler is not None:
            scaler.unscale_(self.optimizer.optimizer)
        # Asking whether the norm is finite would wait for the device; `watch` finds out at the next log.
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm, error_if_nonfinite=False)

    def _log(self, reporter: Reporter) -> None:
        means = self.meters.means()
        epoch = self.step / self.steps_per_epoch
        reporter.log(self.step, {**means, "lr": self.learning_rate(self.step - 1), "epoch": epoch})
