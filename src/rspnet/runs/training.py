"""One training: a frozen description of all it does, and `train`, which runs it from a checkpoint or from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from rspnet.core.console import PlainConsole
from rspnet.core.errors import RSPNetError
from rspnet.core.leaving import leave_at_once
from rspnet.core.progress import print_note
from rspnet.core.ranks import on_rank_zero
from rspnet.data.annotations import VideoRecord
from rspnet.data.skipped import SKIPPED, SkipLog
from rspnet.engine.checkpoint import CheckpointFolder, save_checkpoint
from rspnet.engine.divergence import DivergenceWatch
from rspnet.engine.launch import make_fabric
from rspnet.engine.loop import Loop
from rspnet.engine.memory import memory_advice
from rspnet.engine.optim import Schedule, make_optimizer
from rspnet.engine.prefetch import prefetched
from rspnet.engine.reporter import Reporter
from rspnet.engine.runtime import only_same_bits
from rspnet.engine.stop import SecondStop
from rspnet.models.layout import channels_last
from rspnet.models.weights import load_strictly
from rspnet.runs.resume import (
    Differences,
    made_with,
    refuse_other_content,
    refuse_other_parameters,
    refuse_other_settings,
    refuse_other_videos,
    saved_run,
    videos_sha256,
    what_is_inexact,
)
from rspnet.runs.run_folder import open_run_folder
from rspnet.runs.shared_skips import SharedSkips


class BatchShare(NamedTuple):
    """The part of a training's batches that one process makes, from `start_step` on.

    `skip_log` is for a loader that ends by itself at too many bad videos; None where several processes share a log.
    """

    start_step: int
    rank: int
    world_size: int
    skip_log: SkipLog | None


@dataclass(frozen=True)
class TrainingProcess:
    """One process of a running training; `network` is the trained network as Fabric wraps it: a step calls this."""

    fabric: Fabric
    network: nn.Module

    def gradient_sync(self, last: bool) -> Any:
        """Context of one of several passes that share a step: ranks exchange gradients only in the last."""
        if last or self.fabric.world_size == 1:
            return nullcontext()
        return self.fabric.no_backward_sync(cast(Any, self.network))


class EpochJudge(Protocol):
    """Looks at the network after every epoch."""

    def content(self) -> Mapping[str, Any]:
        """What a checkpoint keeps of it."""

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over a checkpoint's content."""

    def after_epoch(self, process: TrainingProcess, step: int, console: PlainConsole) -> str | None:
        """Look (a collective call); the name under which this epoch's weights are to be kept as well, or None."""


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimiser's settings; see `rspnet.engine.optim.make_optimizer`."""

    name: Literal["sgd", "adamw"]
    weight_decay: float
    clip_grad_norm: float | None = None


@dataclass(frozen=True)
class Job:
    """A training, described whole; nothing of it has started.

    Attributes:
        command: that it is a run of; its run folder is refused to other commands, and checkpoints name it.
        out: run folder.
        settings: the resolved configuration, for config.yaml.
        kept_settings: those that a checkpoint keeps.
        differences: a checkpoint's settings -> (option, old, new) of all that the trained weights depend on.
        records: the training videos.
        max_skipped: share of them that may be left out before the run ends, and the option that says so.
        model: all that a checkpoint holds under `model`; has a `config` that rebuilds it.
        trained: the part of it that the optimiser changes.
        parameters: of that part.
        optimizer: its settings.
        schedule: of the learning rate, with the number of steps.
        seed: of every random draw.
        batches: gives a process's batches, each with `skipped`: the videos left out of it.
        step: forward and backward of one batch, given with its number; leaves gradients and returns named 0-dim values.
        files_of: the files that a batch was made of.
        clips_per_step: of all processes together.
        shown: names of values on the progress line -> their short labels.
        content: what checkpoints hold in addition.
        memory: bytes a process needs, an estimate.
        lower: what to lower where that is too much.
        announce: prints what will be done, when all is ready.
        judge: looks at the network after every epoch.
        virtual_ranks: groups of a process's batch that normalise apart.
    """

    command: str
    out: str
    settings: Mapping[str, Any]
    kept_settings: Mapping[str, Any]
    differences: Differences
    records: Sequence[VideoRecord]
    max_skipped: tuple[float, str]
    model: nn.Module
    trained: nn.Module
    parameters: Sequence[Any]
    optimizer: OptimizerSettings
    schedule: Schedule
    seed: int
    batches: Callable[[BatchShare], Iterable[Any]]
    step: Callable[[TrainingProcess, Any, int], Mapping[str, Tensor]]
    files_of: Callable[[Any], Sequence[str]]
    clips_per_step: int
    shown: Mapping[str, str]
    memory: Callable[[], int]
    lower: str
    announce: Callable[[PlainConsole], None]
    content: Mapping[str, Any] = field(default_factory=dict)
    judge: EpochJudge | None = None
    virtual_ranks: int = 1

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out)


@dataclass(frozen=True)
class Engine:
    """On which machine a training runs, and how it is watched and kept; the options are those of `--engine`.

    `second_stop` is what a second Ctrl-C does; see `rspnet.engine.stop.StopRequest`.
    """

    device: torch.device
    precision: str
    threads: int
    devices: int = 1
    num_nodes: int = 1
    channels_last: bool = True
    deterministic: bool = False
    checkpoint_every: int | None = None
    keep: int = 1
    log_every: int = 10
    bad_steps: int = 3
    loggers: tuple[str, ...] = ("csv",)
    resume: bool = False
    second_stop: SecondStop = "exit"

    @classmethod
    def of(cls, options: Any, **resolved: Any) -> Engine:
        """From an object with options of the same names; `resolved` ones take precedence."""
        named = {item.name: getattr(options, item.name) for item in fields(cls) if hasattr(options, item.name)}
        return cls(**named | resolved)


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        finished: it came to its last step; else it was asked to stop and can be resumed.
        step: steps done.
        seconds: since its start or resume.
        skipped: videos left out.
        device: where the model is.
        console: where rank 0 talks to the user.
    """

    finished: bool
    step: int
    seconds: float
    skipped: int
    device: torch.device
    console: PlainConsole


def train(job: Job, engine: Engine) -> Outcome:
    """Start the processes, run the job to its end or until stopped, and wait for its last checkpoint.

    The first SIGINT (Ctrl-C) or SIGTERM stops it after the step under way, with a checkpoint.

    Raises:
        RSPNetError: the folder holds another run, or one of other settings or with weights that are not finite; too
            many bad videos; diverged; out of memory.
    """
    fabric = make_fabric(
        device=engine.device, precision=engine.precision, devices=engine.devices, num_nodes=engine.num_nodes
    )
    return _Session(job, engine, fabric).run()


class _Session:
    """One process's part of a job: folder open, saved state in place, loop ready."""

    def __init__(self, job: Job, engine: Engine, fabric: Fabric) -> None:
        self.job, self.engine, self.fabric = job, engine, fabric
        self.console = PlainConsole(stderr=True, quiet=not fabric.is_global_zero)
        self.checkpoints = CheckpointFolder(job.folder, keep=engine.keep)
        share, option = job.max_skipped
        log = SkipLog(job.folder / SKIPPED, num_videos=len(job.records), max_share=share, option=option)
        self.skips = SharedSkips(log, world_size=fabric.world_size, share_every=engine.log_every)
        saved = saved_run(self.checkpoints, resume=engine.resume, console=self.console)
        if saved is not None:
            refuse_other_content(saved, job.content)
            refuse_other_settings(job.differences(saved["config"]))
            refuse_other_videos(saved, job.records)
            refuse_other_parameters(saved["optimizer"], len(job.parameters))
        self._open_folder()
        self._place_network(saved)
        self.loop = self._make_loop()
        if saved is not None:
            self._restore(saved)

    def _open_folder(self) -> None:
        open_run_folder(self.job.out, self.job.settings, command=self.job.command, goes_on=True)
        on_rank_zero(self.checkpoints.remove_leftovers)
        torch.set_num_threads(self.engine.threads)
        if self.engine.deterministic:
            only_same_bits()
        made = made_with(
            self.fabric,
            precision=self.engine.precision,
            virtual_ranks=self.job.virtual_ranks,
            plugins=cast(Any, self.job.model).config.get("plugins", ()),
        )
        self.origin: dict[str, Any] = {"made_with": made, "videos_sha256": videos_sha256(self.job.records)}

    def _place_network(self, saved: Mapping[str, Any] | None) -> None:
        job = self.job
        if saved is not None:
            load_strictly(job.model, saved["model"], source=f"checkpoint of {job.out!r}")
            for note in what_is_inexact(saved["made_with"], self.origin["made_with"]):
                print_note(self.console, note)
        job.model.to(self.fabric.device)
        if self.engine.channels_last:
            channels_last(job.model)
        self.process = TrainingProcess(self.fabric, cast(nn.Module, self.fabric.setup_module(job.trained)))
        optimizer = make_optimizer(
            job.parameters, name=job.optimizer.name, lr=job.schedule.peak, weight_decay=job.optimizer.weight_decay
        )
        self.optimizer = cast(Any, self.fabric.setup_optimizers(optimizer))

    def _make_loop(self) -> Loop:
        job, engine = self.job, self.engine
        return Loop(
            fabric=self.fabric,
            model=self.process.network,
            optimizer=self.optimizer,
            learning_rate=job.schedule,
            train_step=self._step,
            save=self._save,
            poll=self.checkpoints.poll,
            failing=self.skips.share,
            watch=DivergenceWatch(job.folder, patience=engine.bad_steps, files_of=job.files_of),
            seed=job.seed,
            total_steps=job.schedule.total_steps,
            steps_per_epoch=job.schedule.steps_per_epoch,
            checkpoint_every=engine.checkpoint_every,
            log_every=engine.log_every,
            clip_grad_norm=job.optimizer.clip_grad_norm,
            second_stop=engine.second_stop,
        )

    def _restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `_save` wrote."""
        self.loop.step = saved["step"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.loop.meters.load_state_dict(saved["meters"], device=self.fabric.device)
        self.skips.log.load_state_dict(saved["skipped"])
        if "watch" in saved:
            self.loop.watch.load_state_dict(saved["watch"])
        if saved["precision"]:  # empty unless the run was in fp16
            self.fabric.strategy.precision.load_state_dict(saved["precision"])
        if self.job.judge is not None:
            self.job.judge.restore(saved)

    def run(self) -> Outcome:
        """Run the loop and wait for the last checkpoint."""
        if self.fabric.is_global_zero:
            self.job.announce(self.console)
        started = perf_counter()
        self.job.model.train()
        if self.loop.step:
            self.console.print(f"resuming at step {self.loop.step}")
        try:
            with memory_advice(estimate=self.job.memory, lower=self.job.lower):
                finished = self.loop.run(self._batches(), self._reporter())
        except BaseException:
            leave_at_once()
            with suppress(RSPNetError):  # what ended the run is reported, not that its last checkpoint failed, too
                self.checkpoints.wait()
            raise
        on_rank_zero(self.checkpoints.wait)
        if not finished:
            self.console.print(f"stopped at step {self.loop.step}; go on with --resume")
        seconds, skipped = perf_counter() - started, len(self.skips.log)
        return Outcome(finished, self.loop.step, seconds, skipped, self.fabric.device, self.console)

    def _batches(self) -> Iterable[Any]:
        """This process's batches on its device; those of several processes share their skips to end together."""
        world_size = self.fabric.world_size
        log = self.skips.log if world_size == 1 else None
        batches = self.job.batches(BatchShare(self.loop.step, self.fabric.global_rank, world_size, log))
        return self.skips.watched(prefetched(batches, self.fabric.device))

    def _reporter(self) -> Reporter:
        return Reporter(
            self.job.folder,
            total_steps=self.loop.total_steps,
            clips_per_step=self.job.clips_per_step,
            shown=self.job.shown,
            loggers=self.engine.loggers,
            step=self.loop.step,
            unfinished=len(self.loop.meters) > 0,
            active=self.fabric.is_global_zero,
        )

    def _step(self, batch: Any, step: int) -> Mapping[str, Tensor]:
        self.skips.note(batch.skipped, step)
        return self.job.step(self.process, batch, step)

    def _save(self, step: int, epoch_ends: bool) -> None:
        """Start writing a checkpoint of everything an exact resume needs (a collective call)."""
        job, name = self.job, None
        if epoch_ends and job.judge is not None:
            name = job.judge.after_epoch(self.process, step, self.console)
        weights = {
            "task": job.command,
            "step": step,
            "config": dict(job.kept_settings),
            "model_config": job.model.config,
            "model": job.model.state_dict(),
            **job.content,
            **({} if job.judge is None else job.judge.content()),
            **self.origin,
        }
        if name is not None:
            path = job.folder / name
            on_rank_zero(lambda: save_checkpoint(path, weights))
        self.skips.share()
        self.loop.meters.average_over_ranks()
        state = {
            "skipped": self.skips.log.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "meters": self.loop.meters.state_dict(),
            "watch": self.loop.watch.state_dict(),
        }
        on_rank_zero(lambda: self.checkpoints.save({**weights, **state}, step=step, numbered=epoch_ends))
