"""`rspnet pretrain`: learn a video network from unlabelled videos by RSP and A-VID, or by a baseline's task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from lightning_fabric import Fabric
from torch import Tensor

from rspnet.config.pretrain import PretrainConfig
from rspnet.core.console import PlainConsole
from rspnet.core.errors import ConfigError
from rspnet.core.progress import print_note
from rspnet.core.rng import derive_seed
from rspnet.data.annotations import VideoRecord
from rspnet.data.batches import PairBatch
from rspnet.data.clip_sets import ClipBatch
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import SKIPPED, SkipLog
from rspnet.engine.checkpoint import LAST
from rspnet.engine.curves import METRICS, read_curves
from rspnet.engine.launch import make_fabric
from rspnet.engine.stop import STOPPED_EXIT_CODE
from rspnet.pretext.speed import views_of
from rspnet.runs.plan import (
    Plan,
    build_model,
    find_videos,
    make_plan,
    memory_estimate,
    pretraining_batches,
    print_plan,
    survey_videos,
    window_of,
)
from rspnet.runs.resume import training_settings
from rspnet.runs.run_folder import plain, write_result
from rspnet.runs.training import Training


def pretrain(config: PretrainConfig) -> int:
    """Run the command. Returns its exit code: 0 at the end, 130 where it was stopped (and can be resumed)."""
    records = find_videos(config.data.root, config.data.list)
    plan = make_plan(config, num_videos=len(records))
    if config.dry_run:
        console = PlainConsole(stderr=True)
        print_plan(plan, config, build_model(config), console)
        survey_videos(records, config.data, window=window_of(config), plan=plan, seed=config.seed, console=console)
        return 0
    fabric = make_fabric(
        device=plan.device, precision=plan.precision, devices=config.engine.devices, num_nodes=config.engine.num_nodes
    )
    return Pretraining(config, records, plan, fabric).run()


class Pretraining:
    """One process's part of a pre-training: everything built, then `run`."""

    def __init__(self, config: PretrainConfig, records: list[VideoRecord], plan: Plan, fabric: Fabric) -> None:
        if config.data.batch_size % (fabric.world_size * config.model.virtual_ranks):
            groups = f"{fabric.world_size} ranks x {config.model.virtual_ranks} virtual ranks"
            raise ConfigError(f"--data.batch_size {config.data.batch_size} does not divide by {groups}")
        self.config, self.records, self.plan, self.fabric = config, records, plan, fabric
        log = SkipLog(Path(config.out) / SKIPPED, num_videos=len(records), max_share=config.data.max_skipped)
        self.training = Training(config, records, fabric, log)
        saved = self.training.find_saved(lambda old: settings_of_result(old, config))
        self.training.open_folder(
            "pretrain", threads=plan.threads, precision=plan.precision, virtual_ranks=config.model.virtual_ranks
        )
        self.model = build_model(config)
        if config.engine.compile:
            for part in self.model.children():
                part.compile()
        trained = self.model.trained
        self.training.set_network(
            self.model, trained, parameters=trained.parameters(), schedule=plan.schedule, saved=saved
        )
        self.training.set_loop(
            train_step=self.train_step,
            save=self.save,
            shown=config.model.shown,
            clips_per_step=config.data.batch_size,
            files_of=lambda batch: [str(records[index].path) for index in batch.index.tolist()],
            saved=saved,
        )

    def run(self) -> int:
        """Train to the end or until stopped, and write the result. Returns the exit code."""
        console = self.training.console
        print_plan(self.plan, self.config, self.model, console)
        for warning in self.plan.warnings:
            print_note(console, warning)
        if self.fabric.is_global_zero:
            self._survey()
        started = perf_counter()
        self.model.train()
        finished = self.training.run(
            self._batches(),
            estimate=lambda: memory_estimate(self.plan, self.config, self.model),
            lower="lower --data.batch_size, --data.size or --data.num_frames, raise --model.virtual_ranks, or start "
            "more ranks",
        )
        if not finished:
            return STOPPED_EXIT_CODE
        if self.fabric.is_global_zero:
            self._write_result(perf_counter() - started)
        return 0

    def _survey(self) -> None:
        window, console = window_of(self.config), self.training.console
        survey_videos(
            self.records, self.config.data, window=window, plan=self.plan, seed=self.config.seed, console=console
        )

    def _batches(self) -> Any:
        data = self.config.data
        sampler = PairSampler(
            len(self.records),
            batch_size=data.batch_size,
            seed=self.config.seed,
            speeds=data.speeds,
            base_speed=data.base_speed,
            total_steps=self.plan.total_steps,
            start_step=self.training.loop.step,
            clips_per_video=data.clips_per_video,
            rank=self.fabric.global_rank,
            world_size=self.fabric.world_size,
        )
        # Several ranks share their skips instead, so that they end together.
        log = self.training.skipped.log if self.fabric.world_size == 1 else None
        return pretraining_batches(self.config, self.records, sampler, num_workers=self.plan.workers, skip_log=log)

    def train_step(self, batch: PairBatch | ClipBatch, step: int) -> Mapping[str, Tensor]:
        """Forward and backward of one batch, a virtual rank at a time; gradients are left on the trained network."""
        self.training.skipped.note(batch.skipped, step)
        outputs = self.model.group_outputs(
            views_of(batch.to(self.fabric.device, non_blocking=True), noise_std=self.config.data.noise_std),
            step_seed=derive_seed(self.config.seed, "shuffle", step),
            encode=self.training.network,
        )
        groups = self.config.model.virtual_ranks
        totals: dict[str, Tensor] = {}
        for group in range(groups):
            last = group == groups - 1
            with self._gradient_sync(last):
                with self.fabric.autocast():
                    output = next(outputs)
                self.fabric.backward(output.loss / groups)
            for name in (item.name for item in fields(output)):
                share = getattr(output, name).detach() / groups
                totals[name] = totals[name] + share if name in totals else share
        self.model.finish_step()
        return totals

    def _gradient_sync(self, last: bool) -> Any:
        """Ranks exchange gradients only in the last virtual rank's backward pass."""
        if last or self.fabric.world_size == 1:
            return nullcontext()
        return self.fabric.no_backward_sync(cast(Any, self.training.network))

    def save(self, _step: int, epoch_ends: bool) -> None:
        """Checkpoint everything an exact resume needs."""
        content = {
            "task": "pretrain",
            "config": training_settings(self.config),
            "model_config": self.model.config,
            "model": self.model.state_dict(),
            **self.training.origin,
        }
        self.training.save(content, numbered=epoch_ends)

    def _write_result(self, seconds: float) -> None:
        folder, skipped = self.training.folder, len(self.training.skipped.log)
        last = read_curves(folder / METRICS)[-1] if "csv" in self.config.engine.loggers else {}
        settings = plain(self.config)
        protocol = {name: settings[name] for name in ("data", "model", "optim", "seed")}
        protocol |= {"steps": self.plan.total_steps, "precision": self.plan.precision, "ranks": self.fabric.world_size}
        results = {
            "last": {name: float(value) for name, value in last.items()},
            "seconds_since_start_or_resume": round(seconds, 1),
            "videos": len(self.records),
            "skipped": skipped,
            "checkpoint": LAST,
        }
        write_result(folder, command="pretrain", protocol=protocol, results=results)
        left_out = f"; {skipped} of {len(self.records)} videos left out, see {SKIPPED}"
        self.training.console.print(f"done: {folder / LAST}{left_out if skipped else ''}", highlight=False)


_MACHINE_SETTINGS = ("num_workers", "max_skipped", "root", "list", "virtual_ranks")


def settings_of_result(saved: Mapping[str, Any], wanted: PretrainConfig) -> Iterator[tuple[str, Any, Any]]:
    """(option, old, new) of every option that the trained weights depend on; machine settings may change."""
    for section in ("data", "model", "optim"):
        for name, value in plain(getattr(wanted, section)).items():
            if name not in _MACHINE_SETTINGS:  # an option that older versions did not have stood at its default
                yield (
                    f"{section}.{name}",
                    saved[section].get(name, getattr(type(getattr(wanted, section)), name, None)),
                    value,
                )
    for name in ("seed", "epochs", "max_steps"):
        yield name, saved[name], getattr(wanted, name)
