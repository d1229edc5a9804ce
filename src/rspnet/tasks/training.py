"""What every training command shares: skipped videos over ranks, the loop and the state of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric

from rspnet.config.pretrain import EngineConfig, OptimConfig
from rspnet.core.distributed import gather_objects, on_rank_zero, rank
from rspnet.core.errors import OtherRankError, RSPNetError, TooManySkippedError
from rspnet.data.skipped import Skip, SkipLog
from rspnet.engine.checkpoint import CheckpointFolder
from rspnet.engine.loop import Loop, Step
from rspnet.engine.memory import memory_advice
from rspnet.engine.optim import Schedule, make_optimizer, scaled_learning_rate
from rspnet.engine.prefetch import prefetched
from rspnet.engine.report import Reporter
from rspnet.engine.watch import Watch

SKIPPED = "skipped.csv"


Batch = TypeVar("Batch")


class SkippedVideos:
    """The skip log of a run on several ranks: what each rank skipped is shared, so that all end together."""

    def __init__(self, log: SkipLog, *, world_size: int, share_every: int) -> None:
        self.log = log
        self._every = share_every if world_size > 1 else 1
        self._pending: list[Skip] = []

    def note(self, skipped: Iterable[Skip], step: int) -> None:
        """Remember what this rank's batch skipped; every few steps tell all ranks.

        Raises:
            TooManySkippedError: on every rank, once the limit is passed.
        """
        self._pending += skipped
        if step % self._every == 0:
            self.share()

    def share(self) -> None:
        """Tell all ranks now (a collective call).

        Raises:
            TooManySkippedError: on every rank, once the limit is passed (OtherRankError on all but the first).
        """
        pending, self._pending = gather_objects(self._pending), []
        try:
            self.log.add(skip for part in pending for skip in part)
        except TooManySkippedError as error:
            if rank() == 0:
                raise
            raise OtherRankError(str(error), error.exit_code) from None

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Iterate; the videos of a batch that none could be found for are remembered, too."""
        try:
            yield from batches
        except TooManySkippedError as error:
            self._pending += error.skipped
            raise


class Training:
    """A network with optimiser, loop, reporter and checkpoints under Fabric, restored where there is a checkpoint.

    Attributes:
        network: the module as Fabric wraps it; call this one in the training step.
        optimizer: as Fabric wraps it.
        loop: where the training is.
    """

    def __init__(
        self,
        fabric: Fabric,
        module: torch.nn.Module,
        *,
        parameters: Iterable[Any],
        schedule: Schedule,
        optim: OptimConfig,
        engine: EngineConfig,
        seed: int,
    ) -> None:
        self.fabric = fabric
        torch.backends.cudnn.benchmark = engine.cudnn_benchmark
        self.network = cast(torch.nn.Module, fabric.setup_module(module))
        optimizer = make_optimizer(
            parameters, name=optim.name, lr=schedule.peak, momentum=optim.momentum, weight_decay=optim.weight_decay
        )
        self.optimizer = cast(Any, fabric.setup_optimizers(optimizer))
        self._schedule, self._optim, self._engine, self._seed = schedule, optim, engine, seed
        self.loop: Loop

    def set_loop(
        self,
        checkpoints: CheckpointFolder,
        skipped: SkippedVideos,
        *,
        train_step: Step,
        save: Callable[[int, bool], None],
        shown: Mapping[str, str],
        clips_per_step: int,
        files_of: Callable[[Any], Sequence[str]],
    ) -> None:
        """Make the loop; `save` is to call the method of that name here."""
        engine, schedule, folder = self._engine, self._schedule, checkpoints.folder
        self._checkpoints, self._skipped = checkpoints, skipped
        self._reporting: dict[str, Any] = {"clips_per_step": clips_per_step, "shown": shown}
        self.loop = Loop(
            fabric=self.fabric,
            model=self.network,
            optimizer=self.optimizer,
            learning_rate=schedule,
            train_step=train_step,
            save=save,
            poll=checkpoints.poll,
            failing=skipped.share,
            watch=Watch(folder, patience=engine.bad_steps, files_of=files_of),
            seed=self._seed,
            total_steps=schedule.total_steps,
            steps_per_epoch=schedule.steps_per_epoch,
            checkpoint_every=engine.checkpoint_every,
            log_every=engine.log_every,
            clip_grad_norm=self._optim.clip_grad_norm,
        )

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` wrote."""
        self.loop.step = saved["step"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.loop.meters.load_state_dict(saved["meters"], device=self.fabric.device)
        self._skipped.log.load_state_dict(saved["skipped"])
        if "watch" in saved:
            self.loop.watch.load_state_dict(saved["watch"])
        if saved["precision"]:  # empty unless the run was in fp16
            self.fabric.strategy.precision.load_state_dict(saved["precision"])

    def run(self, batches: Iterable[Any], *, estimate: Callable[[], int], lower: str) -> bool:
        """Run the loop on `batches` and wait for the last checkpoint; whether it came to its end (else: was stopped).

        Args:
            batches: start at the loop's step; on the CPU.
            estimate: bytes of memory a process needs.
            lower: what to lower where that is too much.
        """
        reporter = Reporter(
            self._checkpoints.folder,
            total_steps=self.loop.total_steps,
            loggers=self._engine.loggers,
            step=self.loop.step,
            active=self.fabric.is_global_zero,
            **self._reporting,
        )
        try:
            with memory_advice(estimate=estimate, lower=lower):
                finished = self.loop.run(self._skipped.watched(prefetched(batches, self.fabric.device)), reporter)
        except BaseException:
            with suppress(RSPNetError):  # what ended the run is told, not that its last checkpoint failed, too
                self._checkpoints.wait()
            raise
        on_rank_zero(self._checkpoints.wait)
        return finished

    def save(self, content: Mapping[str, Any], *, numbered: bool) -> None:
        """Start writing a checkpoint of `content` and everything the training itself needs (a collective call)."""
        self._skipped.share()
        self.loop.meters.average_over_ranks()
        step = self.loop.step
        state = {
            "step": step,
            "skipped": self._skipped.log.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "meters": self.loop.meters.state_dict(),
            "watch": self.loop.watch.state_dict(),
        }
        on_rank_zero(lambda: self._checkpoints.save({**content, **state}, step=step, numbered=numbered))


def place_model(model: torch.nn.Module, *, device: torch.device, channels_last: bool) -> None:
    """Move a model to its device and memory layout, in place."""
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    model.to(device, memory_format=layout)  # type: ignore[call-overload]


def make_schedule(optim: OptimConfig, *, batch_size: int, total_steps: int, steps_per_epoch: int) -> Schedule:
    """The learning-rate schedule that the options ask for."""
    return Schedule(
        peak=scaled_learning_rate(optim.lr, batch_size=batch_size) if optim.scale_lr else optim.lr,
        kind=optim.schedule,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        unit=optim.schedule_unit,
        warmup_steps=optim.warmup_steps,
        milestones=optim.milestones,
    )
