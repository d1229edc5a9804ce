"""What every training command shares: its run folder, skipped videos over ranks, the loop and a checkpoint's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric

from rspnet.config.finetune import FinetuneConfig
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.training import OptimConfig
from rspnet.core.console import PlainConsole
from rspnet.core.distributed import gather_objects, on_rank_zero, rank
from rspnet.core.errors import OtherRankError, RSPNetError, TooManySkippedError
from rspnet.core.progress import print_note
from rspnet.data.annotations import VideoRecord
from rspnet.data.skipped import Skip, SkipLog
from rspnet.engine.checkpoint import CheckpointFolder
from rspnet.engine.divergence import DivergenceWatch
from rspnet.engine.loop import Loop, Step
from rspnet.engine.memory import memory_advice
from rspnet.engine.optim import Schedule, make_optimizer, scaled_learning_rate
from rspnet.engine.prefetch import prefetched
from rspnet.engine.reporter import Reporter
from rspnet.models.weights import refuse_not_finite
from rspnet.runs.resume import (
    made_with,
    refuse_other_settings,
    refuse_other_videos,
    saved_run,
    videos_sha256,
    what_is_inexact,
)
from rspnet.runs.run_folder import open_run_folder

Batch = TypeVar("Batch")
Differences = Callable[[Mapping[str, Any]], Iterable[tuple[str, Any, Any]]]


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
    """One process's part of a training: run folder, network under Fabric, optimiser, loop and checkpoints.

    Called in this order: `find_saved`, `open_folder`, `set_network`, `set_loop`, `run`.

    Args:
        config: of the command.
        records: the videos that are trained on.
        fabric: where it runs.
        log: of videos that cannot be used.

    Attributes:
        console: where rank 0 talks to the user.
        folder: the run folder.
        skipped: what had to be skipped on any rank.
        origin: what a checkpoint says of where its weights come from: programs and machine, hash of the videos.
        network: the trained module as Fabric wraps it; call this one in the training step.
        optimizer: as Fabric wraps it.
        loop: where the training is.
    """

    origin: dict[str, Any]
    network: torch.nn.Module
    optimizer: Any
    loop: Loop

    def __init__(
        self, config: PretrainConfig | FinetuneConfig, records: Sequence[VideoRecord], fabric: Fabric, log: SkipLog
    ) -> None:
        self.fabric = fabric
        self.console = PlainConsole(stderr=True, quiet=not fabric.is_global_zero)
        self.folder = Path(config.out)
        self.skipped = SkippedVideos(log, world_size=fabric.world_size, share_every=config.engine.log_every)
        self._config, self._records = config, records
        self._checkpoints = CheckpointFolder(self.folder, keep=config.engine.keep)

    def find_saved(self, differences: Differences) -> dict[str, Any] | None:
        """The checkpoint to go on from, None for a new run.

        Args:
            differences: the saved run's settings -> (option, old, new) of all that the result depends on.

        Raises:
            ConfigError: the folder holds a run that would be overwritten, or one of other settings or videos.
            CheckpointError: none of its checkpoints can be read.
        """
        saved = saved_run(self._checkpoints, resume=self._config.resume, console=self.console)
        if saved is not None:
            refuse_other_settings(differences(saved["config"]))
            refuse_other_videos(saved, self._records)
        return saved

    def open_folder(self, command: str, *, threads: int, precision: str, virtual_ranks: int = 1) -> None:
        """Write the configuration and get the process ready (a collective call).

        Raises:
            ConfigError: `out` is a file or holds a run of another command than `command`.
        """
        open_run_folder(self._config.out, self._config, command=command)
        on_rank_zero(self._checkpoints.remove_leftovers)
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = self._config.engine.cudnn_benchmark
        made = made_with(self.fabric, precision=precision, virtual_ranks=virtual_ranks)
        self.origin = {"made_with": made, "videos_sha256": videos_sha256(self._records)}

    def set_network(
        self,
        model: torch.nn.Module,
        trained: torch.nn.Module,
        *,
        parameters: Iterable[Any],
        schedule: Schedule,
        saved: Mapping[str, Any] | None,
    ) -> None:
        """Place the model, its saved weights in it, and put the part that is trained under Fabric with an optimiser.

        Args:
            model: all that a checkpoint holds under `model`.
            trained: the part of it that the optimiser changes.
            parameters: of that part, or groups of them.
            schedule: of the learning rate.
            saved: what `find_saved` gave.

        Raises:
            CheckpointError: its weights are not finite.
        """
        if saved is not None:
            refuse_not_finite(saved["model"], source=f"checkpoint of {str(self.folder)!r}")
            model.load_state_dict(saved["model"])
            for note in what_is_inexact(saved["made_with"], self.origin["made_with"]):
                print_note(self.console, note)
        optim, channels_last = self._config.optim, self._config.engine.channels_last
        layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        model.to(self.fabric.device, memory_format=layout)  # type: ignore[call-overload]
        self.network = cast(torch.nn.Module, self.fabric.setup_module(trained))
        optimizer = make_optimizer(
            parameters, name=optim.name, lr=schedule.peak, momentum=optim.momentum, weight_decay=optim.weight_decay
        )
        self.optimizer = cast(Any, self.fabric.setup_optimizers(optimizer))
        self._schedule = schedule

    def set_loop(
        self,
        *,
        train_step: Step,
        save: Callable[[int, bool], None],
        shown: Mapping[str, str],
        clips_per_step: int,
        files_of: Callable[[Any], Sequence[str]],
        saved: Mapping[str, Any] | None,
    ) -> None:
        """Make the loop, where it was saved; `save` is to call the method of that name here."""
        engine, schedule = self._config.engine, self._schedule
        self._reporting: dict[str, Any] = {"clips_per_step": clips_per_step, "shown": shown}
        self.loop = Loop(
            fabric=self.fabric,
            model=self.network,
            optimizer=self.optimizer,
            learning_rate=schedule,
            train_step=train_step,
            save=save,
            poll=self._checkpoints.poll,
            failing=self.skipped.share,
            watch=DivergenceWatch(self.folder, patience=engine.bad_steps, files_of=files_of),
            seed=self._config.seed,
            total_steps=schedule.total_steps,
            steps_per_epoch=schedule.steps_per_epoch,
            checkpoint_every=engine.checkpoint_every,
            log_every=engine.log_every,
            clip_grad_norm=self._config.optim.clip_grad_norm,
        )
        if saved is not None:
            self._restore(saved)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` wrote."""
        self.loop.step = saved["step"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.loop.meters.load_state_dict(saved["meters"], device=self.fabric.device)
        self.skipped.log.load_state_dict(saved["skipped"])
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
        if self.loop.step:
            self.console.print(f"resuming at step {self.loop.step}", highlight=False)
        reporter = Reporter(
            self.folder,
            total_steps=self.loop.total_steps,
            loggers=self._config.engine.loggers,
            step=self.loop.step,
            active=self.fabric.is_global_zero,
            **self._reporting,
        )
        try:
            with memory_advice(estimate=estimate, lower=lower):
                finished = self.loop.run(self.skipped.watched(prefetched(batches, self.fabric.device)), reporter)
        except BaseException:
            with suppress(RSPNetError):  # what ended the run is told, not that its last checkpoint failed, too
                self._checkpoints.wait()
            raise
        on_rank_zero(self._checkpoints.wait)
        if not finished:
            self.console.print(f"stopped at step {self.loop.step}; go on with --resume", highlight=False)
        return finished

    def save(self, content: Mapping[str, Any], *, numbered: bool) -> None:
        """Start writing a checkpoint of `content` and everything the training itself needs (a collective call)."""
        self.skipped.share()
        self.loop.meters.average_over_ranks()
        step = self.loop.step
        state = {
            "step": step,
            "skipped": self.skipped.log.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "meters": self.loop.meters.state_dict(),
            "watch": self.loop.watch.state_dict(),
        }
        on_rank_zero(lambda: self._checkpoints.save({**content, **state}, step=step, numbered=numbered))


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
