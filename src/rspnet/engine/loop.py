"""The training loop. It knows batches, a step function and an optimiser; it does not know RSPNet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from rspnet.core.errors import RSPNetError
from rspnet.core.rng import derive_seed
from rspnet.engine.meters import Meters
from rspnet.engine.report import Reporter
from rspnet.engine.stop import StopRequest

Step = Callable[[Any, int], Mapping[str, Tensor]]
"""(batch, step number) -> named 0-dim tensors to report; it runs forward and backward."""


@dataclass
class Loop:
    """One training from `step` to `total_steps`.

    `train_step` leaves gradients behind; `save(step, epoch_ends)` writes a checkpoint. Returns from `run` tell whether
    training reached its end (True) or was asked to stop (False); in both cases the last step is checkpointed.
    """

    fabric: Fabric
    model: torch.nn.Module
    optimizer: Any
    learning_rate: Callable[[int], float]
    train_step: Step
    save: Callable[[int, bool], None]
    reporter: Reporter
    seed: int
    total_steps: int
    steps_per_epoch: int
    checkpoint_every: int | None = None
    clip_grad_norm: float | None = None
    step: int = 0
    meters: Meters = field(default_factory=Meters)

    def run(self, batches: Iterable[Any]) -> bool:
        """Train on `batches`, which start at `self.step`.

        Raises:
            RSPNetError: the loss is not finite.
        """
        with StopRequest() as stop, self.reporter:
            waiting_since = perf_counter()
            for batch in batches:
                waited = perf_counter() - waiting_since
                self._one_step(batch)
                self.step += 1
                ends = self.step == self.total_steps
                log = self.step % self.reporter.log_every == 0 or ends
                if log:
                    self._log()
                epoch_ends = self.step % self.steps_per_epoch == 0 or ends
                stopping = stop.agreed(self.fabric.device)
                due = self.checkpoint_every is not None and self.step % self.checkpoint_every == 0
                if epoch_ends or due or stopping:
                    self.save(self.step, epoch_ends)
                if stopping and not ends:
                    return False
                self.reporter.advance(self.step, waited=waited, elapsed=perf_counter() - waiting_since)
                waiting_since = perf_counter()
        return True

    def _one_step(self, batch: Any) -> None:
        torch.manual_seed(derive_seed(self.seed, "step", self.step, self.fabric.global_rank))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        self.meters.update(self.train_step(batch, self.step))
        if self.clip_grad_norm is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.clip_grad_norm)
        self.optimizer.step()

    def _log(self) -> None:
        means = self.meters.means()
        self.meters.reset()
        bad = [name for name, value in means.items() if value != value or abs(value) == float("inf")]
        if bad:
            raise RSPNetError(f"{', '.join(bad)} not finite at step {self.step}: lower --optim.lr or add warm-up")
        epoch = self.step / self.steps_per_epoch
        self.reporter.log(self.step, {**means, "lr": self.learning_rate(self.step - 1), "epoch": epoch})
