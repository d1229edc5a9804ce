"""A pre-training as a job: which batches, what a step does, what its result says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor

from rspnet.api.pretraining_plan import (
    Plan,
    build_model,
    make_plan,
    memory_estimate,
    print_plan,
    too_few_videos,
    window_of,
)
from rspnet.api.pretraining_verdict import hold_out, pretraining_verdict
from rspnet.api.training_options import optimizer_of
from rspnet.config.old_words import in_new_settings
from rspnet.config.pretrain import PretrainConfig
from rspnet.core.cost import as_bytes
from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.progress import print_note
from rspnet.core.ranks import on_rank_zero
from rspnet.core.rng import derive_seed
from rspnet.core.run_files import LAST
from rspnet.data.annotations import VideoRecord, find_videos
from rspnet.data.batches import PairBatch
from rspnet.data.checks.survey import Look
from rspnet.data.clip_sets import ClipBatch
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import SKIPPED
from rspnet.engine.curves import METRICS, read_curves
from rspnet.engine.stop import SecondStop
from rspnet.pretext.base import PretextModel
from rspnet.pretext.speed import views_of
from rspnet.runs.built_in import other_than_built_in
from rspnet.runs.pretraining_data import PretrainingClips, pretraining_batches, survey_videos
from rspnet.runs.resume import training_settings
from rspnet.runs.run_folder import plain, write_result
from rspnet.runs.training import BatchShare, Engine, Job, Outcome, TrainingProcess, train
from rspnet.runs.training_preview import CLIPS_OF_A_GROUP, disk_of, say_time


@dataclass(frozen=True)
class Pretraining:
    """A configuration with its videos and all that follows from them."""

    config: PretrainConfig
    records: Sequence[VideoRecord]
    plan: Plan
    model: PretextModel
    held_out: Sequence[VideoRecord] = ()

    @classmethod
    def of(cls, config: PretrainConfig) -> Pretraining:
        """Find the videos, work out the plan, make the network.

        Raises:
            RSPNetError: no videos, or options that do not go with them or with this machine.
        """
        found = find_videos(config.data.root, config.data.list)
        if config.data.held_out >= len(found):
            raise ConfigError(f"--data.held_out {config.data.held_out}: there are only {counted(len(found), 'video')}")
        records, held_out = hold_out(found, config.data.held_out, seed=config.seed)
        plan = make_plan(config, num_videos=len(records))
        if config.data.batch_size % (plan.world_size * config.model.virtual_ranks):
            groups = f"{counted(plan.world_size, 'rank')} x {counted(config.model.virtual_ranks, 'virtual rank')}"
            raise ConfigError(f"--data.batch_size {config.data.batch_size} does not divide by {groups}")
        return cls(config, records, plan, build_model(config), held_out)

    def announce(self, console: Console) -> None:
        """Print the plan, its warnings, and how many videos will be skipped."""
        print_plan(self.plan, self.config, self.model, console)
        if self.held_out:
            console.print(f"not trained on, but judged by: {counted(len(self.held_out), 'video')}")
        for warning in self.plan.warnings:
            print_note(console, warning)
        survey_videos(
            self.records,
            Look(window=window_of(self.config), fps=self.config.data.fps),
            max_skipped=self.config.data.max_skipped,
            workers=self.plan.workers,
            seed=self.config.seed,
            console=console,
        )

    def preview(self, console: Console) -> None:
        """Print the plan, every warning, and what it will take in disk and time; nothing is written.

        Raises:
            ConfigError: the run could not start with so few videos; the plan is printed before.
        """
        self.announce(console)
        plan = self.plan
        console.print(f"disk: about {as_bytes(self.disk)} of checkpoints")
        if fault := too_few_videos(self.config, len(self.records)):
            raise ConfigError(fault)
        size = {"clips": self.clips_of_a_process, "steps": plan.total_steps, "workers": plan.workers}
        say_time(console, self.tried, **size, device=plan.device)

    @property
    def disk(self) -> int:
        """Bytes of its checkpoints."""
        return disk_of(self.job(), keep=self.config.engine.keep)

    @property
    def clips_of_a_process(self) -> int:
        """Clips of a step that one process trains on."""
        return self.config.data.batch_size // self.plan.world_size

    def tried(self) -> tuple[Job, Engine]:
        """The same with few clips a step on one process that reads by itself: to measure what a clip costs."""
        data, groups = self.config.data, self.config.model.virtual_ranks
        clips = groups * min(CLIPS_OF_A_GROUP, data.batch_size // groups)
        engine = replace(self.config.engine, devices=1, num_nodes=1)
        small = replace(self.config, data=replace(data, batch_size=clips), engine=engine)
        tried = replace(self, config=small, plan=replace(self.plan, workers=0, world_size=1))
        return tried.job(), tried.engine()

    def job(self) -> Job:
        """The training, described whole."""
        config, records = self.config, self.records
        if config.engine.compile:
            for part in self.model.children():
                part.compile()
        trained = self.model.trained
        return Job(
            command="pretrain",
            out=config.out,
            settings=plain(config),
            kept_settings=training_settings(config),
            differences=lambda saved: changed_settings(saved, config),
            records=records,
            max_skipped=(config.data.max_skipped, "--data.max_skipped"),
            model=self.model,
            trained=trained,
            parameters=list(trained.parameters()),
            optimizer=optimizer_of(config.optim),
            schedule=self.plan.schedule,
            seed=config.seed,
            batches=self.batches,
            step=self.step,
            files_of=lambda batch: [str(records[index].path) for index in batch.index.tolist()],
            clips_per_step=config.data.batch_size,
            shown=config.model.shown,
            memory=lambda: memory_estimate(self.plan, config, self.model),
            lower="lower --data.batch_size, --data.size or --data.num_frames, raise --model.virtual_ranks, or start "
            "more ranks",
            announce=self.announce,
            virtual_ranks=config.model.virtual_ranks,
        )

    def engine(self) -> Engine:
        """Where it runs."""
        plan = self.plan
        resolved = {"device": plan.device, "precision": plan.precision, "threads": plan.threads}
        return Engine.of(self.config.engine, resume=self.config.resume, **resolved)

    def batches(self, part: BatchShare) -> Iterable[PairBatch | ClipBatch]:
        """One process's batches."""
        data, seed = self.config.data, self.config.seed
        sampler = PairSampler(
            len(self.records),
            batch_size=data.batch_size,
            seed=seed,
            speeds=data.speeds,
            base_speed=data.base_speed,
            total_steps=self.plan.total_steps,
            start_step=part.start_step,
            clips_per_video=data.clips_per_video,
            rank=part.rank,
            world_size=part.world_size,
        )
        clips, wanted = PretrainingClips.of(vars(data)), self.config.model.clips(data.played)
        options: dict[str, Any] = {"num_workers": self.plan.workers, "skip_log": part.skip_log}
        return pretraining_batches(wanted, clips, self.records, sampler, **options)

    def step(self, process: TrainingProcess, batch: PairBatch | ClipBatch, step: int) -> Mapping[str, Tensor]:
        """Forward and backward of one batch, a virtual rank at a time; gradients are left on the trained network."""
        fabric = process.fabric
        outputs = self.model.group_outputs(
            views_of(batch.to(fabric.device, non_blocking=True), noise_std=self.config.data.noise_std),
            step_seed=derive_seed(self.config.seed, "shuffle", step),
            encode=process.network,
        )
        groups = self.config.model.virtual_ranks
        totals: dict[str, Tensor] = {}
        for group in range(groups):
            with process.gradient_sync(group == groups - 1):
                with fabric.autocast():
                    output = next(outputs)
                fabric.backward(output.loss / groups)
            for name in (item.name for item in fields(output)):
                share = getattr(output, name).detach() / groups
                totals[name] = totals[name] + share if name in totals else share
        self.model.finish_step()
        return totals

    def write_result(self, outcome: Outcome) -> None:
        """Write result.json, and say where the weights are."""
        config, folder = self.config, Path(self.config.out)
        last = read_curves(folder / METRICS)[-1] if "csv" in config.engine.loggers else {}
        settings = plain(config)
        protocol = {name: settings[name] for name in ("data", "model", "optim", "seed")}
        protocol |= {"weights": config.weights} if config.weights is not None else {}
        protocol |= {"steps": self.plan.total_steps, "precision": self.plan.precision, "ranks": self.plan.world_size}
        results = {
            "last": {name: float(value) for name, value in last.items()},
            "seconds_since_start_or_resume": round(outcome.seconds, 1),
            "videos": len(self.records),
            "held_out": len(self.held_out),
            "skipped": outcome.skipped,
            "checkpoint": LAST,
        }
        verdict = pretraining_verdict(config, self.plan, self.model, self.records, self.held_out)
        ending = verdict.as_ending()
        write_result(folder, command="pretrain", protocol=protocol, results=results, ending=ending)
        skipped = f"; {outcome.skipped} of {counted(len(self.records), 'video')} skipped, see {SKIPPED}"
        outcome.console.print(f"done: {folder / LAST}{skipped if outcome.skipped else ''}")
        verdict.print_to(outcome.console)


def run_pretraining(config: PretrainConfig, *, second_stop: SecondStop = "exit") -> Outcome:
    """Pre-train to the end or until stopped, and write the result.

    Args:
        config: resolved.
        second_stop: what a second Ctrl-C does.
    """
    pretraining = Pretraining.of(config)
    outcome = train(pretraining.job(), replace(pretraining.engine(), second_stop=second_stop))
    if outcome.finished:
        on_rank_zero(lambda: pretraining.write_result(outcome))
    return outcome


_MACHINE_SETTINGS = ("num_workers", "max_skipped", "root", "list", "virtual_ranks")


def changed_settings(saved: Mapping[str, Any], wanted: PretrainConfig) -> Iterator[tuple[str, Any, Any]]:
    """(option, old, new) of every option that the trained weights depend on; machine settings may change."""
    for section in ("data", "model", "optim"):
        options = getattr(wanted, section)
        for name, value in plain(options).items():
            if name not in _MACHINE_SETTINGS:  # an option that older versions did not have stood at its default
                yield f"{section}.{name}", saved[section].get(name, getattr(type(options), name, None)), value
    yield from other_than_built_in(saved)
    yield "weights", in_new_settings("pretrain", saved).get("weights"), wanted.weights
    for name in ("seed", "epochs", "max_steps"):
        yield name, saved[name], getattr(wanted, name)
