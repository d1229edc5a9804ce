"""A fine-tuning as a job: which batches, what a step does, and the test after it (METHOD section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor
from torch.nn.functional import cross_entropy

from rspnet.api.finetuning_videos import Videos, finetuning_videos
from rspnet.api.labelled_options import clip_shape, scoring_view
from rspnet.api.training_options import make_schedule, optimizer_of
from rspnet.config.choice import half_of
from rspnet.config.finetune import FinetuneConfig
from rspnet.config.old_words import in_new_settings
from rspnet.core.checkpoint_format import CLASSIFIER_TASK
from rspnet.core.console import PlainConsole
from rspnet.core.cost import as_bytes
from rspnet.core.counts import counted
from rspnet.core.progress import print_note
from rspnet.core.ranks import rank
from rspnet.core.run_files import LAST
from rspnet.data.augment import normalise
from rspnet.data.class_numbers import classes_that_mirror
from rspnet.data.cuts import EvenClips
from rspnet.data.labelled.cautions import cautions
from rspnet.data.labelled_clips import LabelledBatch, LabelledClipDataset, LabelledSampler, labelled_batches
from rspnet.data.presets import FINETUNING_CROP, AugmentPreset
from rspnet.engine.memory import training_bytes
from rspnet.engine.multiply_adds import multiply_adds
from rspnet.engine.optim import Schedule
from rspnet.engine.processes import processes
from rspnet.engine.runtime import pick_device, pick_precision, pick_threads_and_workers, planned_device
from rspnet.engine.stop import SecondStop
from rspnet.models.classifier import Classifier
from rspnet.pretext.statistics import average_statistics_over_ranks
from rspnet.runs.built_in import other_than_built_in
from rspnet.runs.classifiers import make_classifier, open_classifier, shared_scores
from rspnet.runs.epoch_looks import BEST, EpochLooks, LookedAt
from rspnet.runs.predictions import data_stamp
from rspnet.runs.resume import training_settings
from rspnet.runs.run_folder import plain
from rspnet.runs.scoring import NOT_OF_THE_WEIGHTS, finetune_stamp, write_scores
from rspnet.runs.training import BatchShare, Engine, Job, Outcome, TrainingProcess, train
from rspnet.runs.training_preview import CLIPS_OF_A_GROUP, disk_of, say_time

SHOWN = {"loss": "loss", "top1": "top-1"}
_SELECTED_ON = {"last": None, "validation": "validation", "official": "test"}
_BATCH = 32
"""Clips of a step where the training videos are enough."""


def batch_for(num_videos: int, *, ranks: int) -> int:
    """Clips of a step where none are asked for: 32, or about half of fewer videos, shared evenly by all ranks."""
    usual = ranks * max(2, _BATCH // ranks)
    return usual if num_videos >= usual else ranks * half_of(num_videos // ranks)


@dataclass(frozen=True)
class Finetuning:
    """A configuration with its videos, its classifier, and what follows from them and this machine."""

    config: FinetuneConfig
    videos: Videos
    model: Classifier
    init_sha256: str | None
    engine: Engine
    workers: int
    batch_size: int

    @classmethod
    def of(cls, config: FinetuneConfig) -> Finetuning:
        """Find the videos and make the classifier.

        Raises:
            RSPNetError: bad data or weights, or options that do not go with them or with this machine.
        """
        videos, config = finetuning_videos(config)
        local, nodes = processes(devices=config.engine.devices, num_nodes=config.engine.num_nodes)
        batch = config.clips.batch_size or batch_for(len(videos.train), ranks=local * nodes)
        device = planned_device(config.engine.device) if config.dry_run else pick_device(config.engine.device)
        network = {name: getattr(config.model, name) for name in ("backbone", "input", "dropout", "freeze")}
        network["init"] = config.weights
        model, init_sha256 = make_classifier(num_classes=len(videos.class_names), seed=config.seed, **network)
        model.backbone.recompute = config.engine.activation_checkpointing
        threads, workers = pick_threads_and_workers(
            threads=config.engine.threads,
            workers=config.clips.num_workers,
            device=device,
            processes=local,
            work=lambda: 3 * multiply_adds(model.backbone, _clip_size(config)),  # forward 1, backward 2
        )
        precision = pick_precision(config.engine.precision, device)
        engine = Engine.of(config.engine, device=device, precision=precision, threads=threads, resume=config.resume)
        return cls(config, videos, model, init_sha256, engine, workers, batch)

    @property
    def resolved(self) -> FinetuneConfig:
        """The configuration with the batch that was chosen."""
        return replace(self.config, clips=replace(self.config.clips, batch_size=self.batch_size))

    @property
    def settings(self) -> dict[str, Any]:
        """What a checkpoint keeps of the configuration."""
        videos = self.videos.train
        counts = {"train_videos": len(videos), "train_classes": len({video.label for video in videos})}
        return training_settings(self.resolved) | counts

    @property
    def notes(self) -> Iterator[str]:
        """What the user should know before it starts."""
        yield from cautions(self.videos.train, self.videos.test)
        if self.config.protocol == "official":
            yield "--protocol official picks the epoch on the test split"
        if self.config.clips.batch_size is None and self.batch_size < _BATCH:
            yield (
                f"{counted(self.batch_size, 'clip')} a step: at most half of the "
                f"{counted(len(self.videos.train), 'training video')} (--clips.batch_size names another number)"
            )
        if self.config.clips.flip and (pair := classes_that_mirror(self.videos.class_names)):
            first, second = pair
            yield (
                f"classes {first!r} and {second!r} differ by the side alone, and half of the training clips are "
                "mirrored: --clips.flip false lets the network tell them apart"
            )

    def job(self) -> Job:
        """The training, described whole.

        Raises:
            ConfigError: a batch larger than the data set.
        """
        config = self.config
        steps_per_epoch = self._sampler(BatchShare(0, 0, 1, None), total_steps=0).steps_per_epoch
        schedule = make_schedule(
            config.optim,
            batch_size=self.batch_size,
            total_steps=config.max_steps or config.epochs * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
        )
        if config.engine.compile:
            self.model.compile()
        return Job(
            command=CLASSIFIER_TASK,
            out=config.out,
            settings=plain(self.resolved),
            kept_settings=self.settings,
            differences=lambda saved: changed_options(saved, self.settings),
            records=self.videos.train,
            max_skipped=(config.clips.max_skipped, "--clips.max_skipped"),
            model=self.model,
            trained=self.model,
            parameters=[value for value in self.model.parameters() if value.requires_grad],
            optimizer=optimizer_of(config.optim),
            schedule=schedule,
            seed=config.seed,
            batches=lambda part: self.batches(part, total_steps=schedule.total_steps),
            step=self.step,
            files_of=lambda batch: batch.files,
            clips_per_step=self.batch_size,
            shown=SHOWN,
            content={"class_names": self.videos.class_names, "init_sha256": self.init_sha256},
            memory=self.memory,
            lower="lower --clips.batch_size, --clips.size or --clips.num_frames, or start more ranks",
            announce=lambda console: self.announce(console, schedule),
            judge=self._looks(steps_per_epoch),
        )

    def announce(self, console: Console, schedule: Schedule) -> None:
        """Say what will be done."""
        engine, clips = self.engine, self.config.clips
        console.print(
            f"{self.videos}; {counted(schedule.total_steps, 'step')} of {counted(self.batch_size, 'clip')} of "
            f"{counted(clips.num_frames, 'frame')} at stride {clips.stride}, {clips.size} pixels; "
            f"{self.model.backbone.name} from {self.config.weights or 'fresh weights'} "
            f"on {engine.device.type}, {engine.precision}, {counted(engine.threads, 'thread')}, "
            f"{counted(self.workers, 'loader worker')}"
        )
        for note in (*self.notes, *schedule.notes):
            print_note(console, note)

    def preview(self, console: PlainConsole) -> None:
        """Print the plan, every warning, and what it will take in memory, disk and time; nothing is written.

        Raises:
            ConfigError: a batch larger than the data set.
        """
        job = self.job()
        job.announce(console)
        console.print(f"memory: about {self.memory() / 2**30:.1f} GiB a process")
        console.print(f"disk: about {as_bytes(disk_of(job, keep=self.engine.keep))} of checkpoints")
        local, nodes = processes(devices=self.engine.devices, num_nodes=self.engine.num_nodes)
        engine = replace(self.config.engine, devices=1, num_nodes=1)
        few = min(CLIPS_OF_A_GROUP, self.batch_size)
        tried = replace(self, config=replace(self.config, engine=engine), workers=0, batch_size=few)
        size = {"clips": self.batch_size // (local * nodes), "steps": job.schedule.total_steps, "workers": self.workers}
        say_time(console, lambda: (tried.job(), self.engine), **size, device=self.engine.device)
        console.print("then the test videos are scored")

    def memory(self) -> int:
        """Bytes a process needs, an estimate."""
        local, nodes = processes(devices=self.engine.devices, num_nodes=self.engine.num_nodes)
        clips, halved = self.batch_size // (local * nodes), self.engine.precision != "fp32"
        return training_bytes(self.model.backbone, _clip_size(self.config), clips=clips, halved=halved)

    def _sampler(self, part: BatchShare, *, total_steps: int) -> LabelledSampler:
        return LabelledSampler(
            len(self.videos.train),
            batch_size=self.batch_size,
            seed=self.config.seed,
            total_steps=total_steps,
            start_step=part.start_step,
            rank=part.rank,
            world_size=part.world_size,
        )

    def batches(self, part: BatchShare, *, total_steps: int) -> Iterator[LabelledBatch]:
        """One process's batches."""
        clips, seed = self.config.clips, self.config.seed
        preset = AugmentPreset(crop_area=FINETUNING_CROP, flip_p=0.5 if clips.flip else 0.0)
        dataset = LabelledClipDataset(self.videos.train, shape=clip_shape(clips), preset=preset, seed=seed)
        return labelled_batches(dataset, self._sampler(part, total_steps=total_steps), num_workers=self.workers)

    def step(self, process: TrainingProcess, batch: LabelledBatch, _step: int) -> Mapping[str, Tensor]:
        """Forward and backward of one batch; gradients are left on the classifier."""
        batch = batch.to(process.fabric.device, non_blocking=True)
        logits = process.network(normalise(batch.clips)).float()
        loss = cross_entropy(logits, batch.labels)
        process.fabric.backward(loss)
        average_statistics_over_ranks(self.model)
        return {"loss": loss.detach(), "top1": (logits.argmax(dim=1) == batch.labels).float().mean()}

    def _looks(self, steps_per_epoch: int) -> EpochLooks:
        """Looks at the validation (or, official, test) split."""
        protocol, videos = self.config.protocol, self.videos
        split = LookedAt("test", videos.test) if protocol == "official" else LookedAt("validation", videos.validation)
        return EpochLooks(
            self.model,
            split,
            EvenClips(clip_shape(self.config.clips), self.config.validation_clips),
            machine=self._scoring,
            steps_per_epoch=steps_per_epoch,
            keep_best=protocol != "last",
        )

    @property
    def _scoring(self) -> dict[str, Any]:
        return {"precision": self.engine.precision, "num_workers": self.workers}

    def test(self, outcome: Outcome, looks: list[dict[str, float]]) -> None:
        """Test the epoch that the protocol reports, and write the result (a collective call)."""
        config, folder = self.config, Path(self.config.out)
        reported = LAST if config.protocol == "last" else BEST
        trained = open_classifier(str(folder / reported))
        self.model.load_state_dict(trained.model.state_dict())
        self.model.eval()
        view = scoring_view(config.clips)
        scored = shared_scores(self.model, self.videos.test, view, {"device": outcome.device, **self._scoring})
        if rank() > 0:
            return
        stamp = finetune_stamp(trained, view, precision=self.engine.precision)
        stamp |= data_stamp(asdict(config.data), train=len(self.videos.train), test=len(scored[0]))
        write_scores(
            folder,
            scored,
            class_names=self.videos.class_names,
            chance=trained.chance,
            protocol=stamp,
            command="finetune",
            extra={
                "checkpoint": reported,
                "epoch_selected_on": _SELECTED_ON[config.protocol or "last"],
                "looks": looks,
                "validation_videos": len(self.videos.validation),
                "validation_from": ("training" if config.validation_share else "data")
                if self.videos.validation
                else None,
                "skipped_training_videos": outcome.skipped,
            },
        )


def run_finetuning(config: FinetuneConfig, *, second_stop: SecondStop = "exit") -> Outcome:
    """Fine-tune to the end or until stopped, test, and write the result.

    Args:
        config: resolved.
        second_stop: what a second Ctrl-C does.
    """
    finetuning = Finetuning.of(config)
    job = finetuning.job()
    outcome = train(job, replace(finetuning.engine, second_stop=second_stop))
    if outcome.finished:
        assert isinstance(job.judge, EpochLooks)
        finetuning.test(outcome, job.judge.found)
    return outcome


def _clip_size(config: FinetuneConfig) -> tuple[int, int, int, int]:
    """Shape of a clip [3, T, H, W]."""
    return 3, config.clips.num_frames, config.clips.size, config.clips.size


_MACHINE = {"data": ("root", "list"), "clips": NOT_OF_THE_WEIGHTS, "model": (), "optim": ()}


def changed_options(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(option, old, new) of every option that the trained weights depend on; machine and test settings may change."""
    saved = in_new_settings("finetune", saved)
    for section, free in _MACHINE.items():
        for name, value in wanted[section].items():
            if name not in free:
                yield f"{section}.{name}", saved[section].get(name), value
    yield from other_than_built_in(saved)
    of_training = ("weights", "protocol", "validation_share", "validation_clips", "epochs", "max_steps", "seed")
    for name in (*of_training, "train_videos"):
        yield name, saved.get(name), wanted[name]
