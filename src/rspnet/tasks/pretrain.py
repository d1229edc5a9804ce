"""`rspnet pretrain`: learn a video network from unlabelled videos by RSP and A-VID."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor

from rspnet.config.pretrain import PretrainConfig
from rspnet.core.distributed import gather_objects
from rspnet.core.errors import ConfigError
from rspnet.core.rng import derive_seed
from rspnet.data.annotations import VideoRecord
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import PairBatch, make_loader, make_views
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import Skip, SkipLog
from rspnet.engine.checkpoint import LAST, CheckpointFolder
from rspnet.engine.curves import METRICS, read_curves
from rspnet.engine.loop import Loop
from rspnet.engine.optim import make_optimizer
from rspnet.engine.report import Reporter
from rspnet.engine.runtime import make_fabric
from rspnet.engine.stop import STOPPED_EXIT_CODE
from rspnet.pretext.rspnet import PretextOutput, RSPNet
from rspnet.pretext.speed import SpeedViews
from rspnet.tasks.plan import Plan, find_videos, make_plan, print_plan
from rspnet.tasks.run_folder import open_run_folder, plain, write_result

SKIPPED = "skipped.csv"
METRIC_NAMES = [item.name for item in fields(PretextOutput)]
SHOWN = {"loss": "loss", "appearance_loss": "A-VID", "motion_loss": "RSP", "motion_accuracy": "RSP acc"}


def pretrain(config: PretrainConfig) -> int:
    """Run the command. Returns its exit code: 0 at the end, 130 where it was stopped (and can be resumed)."""
    records = find_videos(config.data.root, config.data.list)
    plan = make_plan(config, num_videos=len(records))
    if config.dry_run:
        print_plan(plan, config, build_model(config), Console(stderr=True))
        return 0
    fabric = make_fabric(
        device=plan.device, precision=plan.precision, devices=config.engine.devices, num_nodes=config.engine.num_nodes
    )
    return Pretraining(config, records, plan, fabric).run()


def build_model(config: PretrainConfig) -> RSPNet:
    """The model with the initial weights that the seed gives."""
    torch.manual_seed(derive_seed(config.seed, "initial weights"))
    model = config.model
    settings = {item.name: getattr(model, item.name) for item in fields(model)}
    return RSPNet(**settings, num_frames=config.data.num_frames, size=config.data.size)


class Pretraining:
    """One process's part of a pre-training: everything built, then `run`."""

    def __init__(self, config: PretrainConfig, records: list[VideoRecord], plan: Plan, fabric: Fabric) -> None:
        if config.data.batch_size % (fabric.world_size * config.model.virtual_ranks):
            groups = f"{fabric.world_size} ranks x {config.model.virtual_ranks} virtual ranks"
            raise ConfigError(f"--data.batch_size {config.data.batch_size} does not divide by {groups}")
        self.config, self.records, self.plan, self.fabric = config, records, plan, fabric
        self.console = Console(stderr=True, quiet=not fabric.is_global_zero)
        self.checkpoints = CheckpointFolder(Path(config.out), keep=config.engine.keep)
        saved = self._saved_state()
        self.folder = open_run_folder(config.out, config) if fabric.is_global_zero else Path(config.out)
        fabric.barrier()
        torch.set_num_threads(plan.threads)
        self.preset = replace(augment_preset(config.data.augmentation), noise_std=config.data.noise_std)
        self.model = build_model(config)
        self.skipped = SkipLog(self.folder / SKIPPED, num_videos=len(records), max_share=config.data.max_skipped)
        self._pending: list[Skip] = []
        self._set_up(saved)

    def _saved_state(self) -> dict[str, Any] | None:
        """The last checkpoint where a resume was asked for; refuses to overwrite a run or to resume another one."""
        last = self.checkpoints.folder / LAST
        if not self.config.resume:
            if last.exists():
                raise ConfigError(f"--out {self.config.out!r} already holds a run: add --resume, or name a new folder")
            return None
        saved = self.checkpoints.load_last()
        if saved is not None:
            refuse_other_settings(saved["config"], plain(self.config))
        return saved

    def _set_up(self, saved: Mapping[str, Any] | None) -> None:
        config, plan, fabric = self.config, self.plan, self.fabric
        if saved is not None:
            self.model.load_state_dict(saved["model"])
            self.skipped.load_state_dict(saved["skipped"])
        layout = torch.channels_last_3d if config.engine.channels_last else torch.contiguous_format
        self.model.to(fabric.device, memory_format=layout)  # type: ignore[call-overload]
        if config.engine.compile:
            self.model.encoder_q.compile()
            self.model.encoder_k.compile()
        self.encoder = fabric.setup_module(self.model.encoder_q)
        optimizer = make_optimizer(
            self.model.encoder_q.parameters(),
            name=config.optim.name,
            lr=plan.schedule.peak,
            momentum=config.optim.momentum,
            weight_decay=config.optim.weight_decay,
            fused=fabric.device.type == "cuda",
        )
        self.optimizer = cast(Any, fabric.setup_optimizers(optimizer))
        start = saved["step"] if saved is not None else 0
        reporter = Reporter(
            self.folder,
            total_steps=plan.total_steps,
            clips_per_step=config.data.batch_size,
            log_every=config.engine.log_every,
            shown=SHOWN,
            loggers=config.engine.loggers,
            step=start,
            active=fabric.is_global_zero,
        )
        self.loop = Loop(
            fabric=fabric,
            model=self.encoder,
            optimizer=self.optimizer,
            learning_rate=plan.schedule,
            train_step=self.train_step,
            save=self.save,
            reporter=reporter,
            seed=config.seed,
            total_steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
            checkpoint_every=config.engine.checkpoint_every,
            clip_grad_norm=config.optim.clip_grad_norm,
            step=start,
        )
        if saved is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.loop.meters.load_state_dict(saved["meters"], device=fabric.device)
            fabric.strategy.precision.load_state_dict(saved["precision"])

    def run(self) -> int:
        """Train to the end or until stopped, and write the result. Returns the exit code."""
        print_plan(self.plan, self.config, self.model, self.console)
        for warning in self.plan.warnings:
            self.console.print(f"[yellow]note:[/] {warning}", highlight=False)
        if self.loop.step:
            self.console.print(f"resuming at step {self.loop.step}", highlight=False)
        started = perf_counter()
        self.model.train()
        finished = self.loop.run(self._batches())
        if not finished:
            self.console.print(f"stopped at step {self.loop.step}; go on with --resume", highlight=False)
            return STOPPED_EXIT_CODE
        if self.fabric.is_global_zero:
            self._write_result(perf_counter() - started)
        return 0

    def _batches(self) -> Any:
        data = self.config.data
        dataset = ClipPairDataset(
            self.records,
            num_frames=data.num_frames,
            speeds=data.speeds,
            size=data.size,
            fps=data.fps,
            preset=self.preset,
            seed=self.config.seed,
        )
        sampler = PairSampler(
            len(self.records),
            batch_size=data.batch_size,
            seed=self.config.seed,
            speeds=data.speeds,
            total_steps=self.plan.total_steps,
            start_step=self.loop.step,
            clips_per_video=data.clips_per_video,
            rank=self.fabric.global_rank,
            world_size=self.fabric.world_size,
        )
        return make_loader(
            dataset, sampler, num_workers=self.plan.workers, pin_memory=self.fabric.device.type == "cuda"
        )

    def train_step(self, batch: PairBatch, step: int) -> Mapping[str, Tensor]:
        """Forward and backward of one batch, a virtual rank at a time; gradients are left on the query encoder."""
        self._note_skipped(batch.skipped, step)
        batch = batch.to(self.fabric.device, non_blocking=True)
        views = SpeedViews(*make_views(batch, noise_std=self.preset.noise_std))
        outputs = self.model.group_outputs(
            views, step_seed=derive_seed(self.config.seed, "shuffle", step), encode=self.encoder
        )
        groups = self.config.model.virtual_ranks
        totals: dict[str, Tensor] = {}
        for group in range(groups):
            last = group == groups - 1
            with self._gradient_sync(last):
                with self.fabric.autocast():
                    output = next(outputs)
                self.fabric.backward(output.loss / groups)
            for name in METRIC_NAMES:
                share = getattr(output, name).detach() / groups
                totals[name] = totals[name] + share if name in totals else share
        exhausted = next(outputs, None)
        assert exhausted is None
        return totals

    def _gradient_sync(self, last: bool) -> Any:
        """Ranks exchange gradients only in the last virtual rank's backward pass."""
        if last or self.fabric.world_size == 1:
            return nullcontext()
        return self.fabric.no_backward_sync(self.encoder)

    def _note_skipped(self, skipped: list[Skip], step: int) -> None:
        self._pending += skipped
        if self.fabric.world_size == 1 or step % self.config.engine.log_every == 0:
            self._share_skipped()

    def _share_skipped(self) -> None:
        """Every rank learns what all ranks skipped, so that all end together where it is too much."""
        pending, self._pending = gather_objects(self._pending), []
        self.skipped.add(skip for part in pending for skip in part)

    def save(self, step: int, epoch_ends: bool) -> None:
        """Checkpoint everything an exact resume needs."""
        self._share_skipped()
        self.loop.meters.average_over_ranks()
        if self.fabric.is_global_zero:
            content = {
                "task": "pretrain",
                "step": step,
                "config": plain(self.config),
                "model_config": self.model.config,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "meters": self.loop.meters.state_dict(),
                "skipped": self.skipped.state_dict(),
            }
            self.checkpoints.save(content, step=step, numbered=epoch_ends)
        self.fabric.barrier()

    def _write_result(self, seconds: float) -> None:
        last = read_curves(self.folder / METRICS)[-1] if "csv" in self.config.engine.loggers else {}
        settings = plain(self.config)
        protocol = {name: settings[name] for name in ("data", "model", "optim", "seed")}
        protocol |= {"steps": self.plan.total_steps, "precision": self.plan.precision, "ranks": self.fabric.world_size}
        results = {
            "last": {name: float(value) for name, value in last.items()},
            "seconds_since_start_or_resume": round(seconds, 1),
            "videos": len(self.records),
            "skipped": len(self.skipped),
            "checkpoint": LAST,
        }
        write_result(self.folder, command="pretrain", protocol=protocol, results=results)
        self.console.print(f"done: {self.folder / LAST}", highlight=False)


RESUME_MAY_CHANGE: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "data": lambda data: {k: v for k, v in data.items() if k not in ("num_workers", "max_skipped", "root", "list")},
    "model": dict,
    "optim": dict,
}


def refuse_other_settings(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise unless `wanted` trains exactly as the run in `saved` did (machine settings may differ).

    Raises:
        ConfigError: names the first option that differs, with both values.
    """
    for section, relevant in RESUME_MAY_CHANGE.items():
        old, new = relevant(saved[section]), relevant(wanted[section])
        for name in new:
            if old.get(name) != new[name]:
                raise ConfigError(
                    f"--resume: --{section}.{name} is {new[name]} but the run was started with {old.get(name)}; "
                    "keep it, or start a new run folder"
                )
    for name in ("seed", "epochs", "max_steps"):
        if saved[name] != wanted[name]:
            raise ConfigError(f"--resume: --{name} is {wanted[name]} but the run was started with {saved[name]}")
