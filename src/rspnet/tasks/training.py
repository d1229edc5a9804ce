"""What every training command shares: resuming, skipped videos over ranks, the loop and the state of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric

from rspnet.config.pretrain import EngineConfig, OptimConfig
from rspnet.core.distributed import gather_objects
from rspnet.core.errors import ConfigError
from rspnet.data.skipped import Skip, SkipLog
from rspnet.engine.checkpoint import LAST, CheckpointFolder
from rspnet.engine.loop import Loop, Step
from rspnet.engine.optim import Schedule, make_optimizer, scaled_learning_rate
from rspnet.engine.report import Reporter

SKIPPED = "skipped.csv"


def saved_run(checkpoints: CheckpointFolder, *, resume: bool) -> dict[str, Any] | None:
    """The last checkpoint where a resume was asked for, None for a new run.

    Raises:
        ConfigError: the folder holds a run that would be overwritten.
    """
    if resume:
        return checkpoints.load_last()
    if (checkpoints.folder / LAST).exists():
        raise ConfigError(f"--out {str(checkpoints.folder)!r} already holds a run: add --resume, or name a new folder")
    return None


def refuse_other_settings(pairs: Iterable[tuple[str, Any, Any]]) -> None:
    """Raise for the first option whose value at the start of the run differs from the one now.

    Args:
        pairs: (option, value of the saved run, value now) of all that the result depends on.

    Raises:
        ConfigError: names the option and both values.
    """
    for name, old, new in pairs:
        if old != new:
            raise ConfigError(
                f"--resume: --{name} is {new} but the run was started with {old}; keep it, or start a new run folder"
            )


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
        """Tell all ranks now (a collective call)."""
        pending, self._pending = gather_objects(self._pending), []
        self.log.add(skip for part in pending for skip in part)


class Training:
    """A network with optimiser, loop and reporter under Fabric, restored from a checkpoint where there is one.

    Attributes:
        network: the module as Fabric wraps it; call this one in the training step.
        optimizer: as Fabric wraps it.
        loop: call `loop.run(batches)`.
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
        self.network = cast(torch.nn.Module, fabric.setup_module(module))
        optimizer = make_optimizer(
            parameters,
            name=optim.name,
            lr=schedule.peak,
            momentum=optim.momentum,
            weight_decay=optim.weight_decay,
            fused=fabric.device.type == "cuda",
        )
        self.optimizer = cast(Any, fabric.setup_optimizers(optimizer))
        self._schedule, self._optim, self._engine, self._seed = schedule, optim, engine, seed
        self.loop: Loop

    def set_loop(
        self,
        folder: Path,
        *,
        train_step: Step,
        save: Callable[[int, bool], None],
        shown: Mapping[str, str],
        clips_per_step: int,
        saved: Mapping[str, Any] | None,
    ) -> None:
        """Make the loop; `saved` is a checkpoint with what `state` returned."""
        engine, schedule = self._engine, self._schedule
        start = 0 if saved is None else saved["step"]
        reporter = Reporter(
            folder,
            total_steps=schedule.total_steps,
            clips_per_step=clips_per_step,
            log_every=engine.log_every,
            shown=shown,
            loggers=engine.loggers,
            step=start,
            active=self.fabric.is_global_zero,
        )
        self.loop = Loop(
            fabric=self.fabric,
            model=self.network,
            optimizer=self.optimizer,
            learning_rate=schedule,
            train_step=train_step,
            save=save,
            reporter=reporter,
            seed=self._seed,
            total_steps=schedule.total_steps,
            steps_per_epoch=schedule.steps_per_epoch,
            checkpoint_every=engine.checkpoint_every,
            clip_grad_norm=self._optim.clip_grad_norm,
            step=start,
        )
        if saved is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.loop.meters.load_state_dict(saved["meters"], device=self.fabric.device)
            self.fabric.strategy.precision.load_state_dict(saved["precision"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs besides model, step and skipped videos."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "meters": self.loop.meters.state_dict(),
        }


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
