"""`rspnet finetune`: train a classifier on labelled videos and test it (METHOD section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.functional import cross_entropy

from rspnet.config.finetune import FinetuneConfig
from rspnet.core.checkpoint_format import CLASSIFIER_TASK
from rspnet.core.distributed import on_rank_zero
from rspnet.core.errors import ConfigError
from rspnet.core.progress import print_note
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import normalise
from rspnet.data.labelled.read import class_names
from rspnet.data.labelled_clips import LabelledBatch, LabelledClipDataset, LabelledSampler, labelled_batches
from rspnet.data.presets import AugmentPreset
from rspnet.data.skipped import SKIPPED, SkipLog
from rspnet.engine.checkpoint import LAST, save_checkpoint
from rspnet.engine.launch import make_fabric, processes
from rspnet.engine.memory import training_bytes
from rspnet.engine.optim import Schedule
from rspnet.engine.runtime import multiply_adds, pick_device, pick_precision, pick_threads_and_workers
from rspnet.engine.stop import STOPPED_EXIT_CODE
from rspnet.features.linear_probe import groups_of
from rspnet.features.scores import top_k_hits
from rspnet.models.classifier import parameter_groups
from rspnet.pretext.statistics import average_statistics_over_ranks
from rspnet.runs.classifiers import clip_shape, make_classifier, open_classifier, shared_scores
from rspnet.runs.predictions import data_stamp, labelled_records, labels_of
from rspnet.runs.resume import training_settings
from rspnet.runs.scoring import NOT_OF_THE_WEIGHTS, finetune_stamp, scoring_view, write_scores
from rspnet.runs.training import Training, make_schedule

BEST = "best.ckpt"
SHOWN = {"loss": "loss", "top1": "top-1"}


def finetune(config: FinetuneConfig) -> int:
    """Run the command. Returns its exit code: 0 at the end, 130 where it was stopped (and can be resumed)."""
    train, validation, test = (labelled_records(config.data, split) for split in ("train", "val", "test"))
    config = with_protocol(config, has_validation=bool(validation))
    if not validation:
        train, validation = carve_validation(train, config.validation_share, seed=config.seed)
    device = pick_device(config.engine.device)
    precision = pick_precision(config.engine.precision, device)
    fabric = make_fabric(
        device=device, precision=precision, devices=config.engine.devices, num_nodes=config.engine.num_nodes
    )
    return Finetuning(config, Parts(train, validation, test), fabric, precision).run()


@dataclass(frozen=True)
class Parts:
    """The videos that are trained on, those that may choose an epoch, and those that are scored."""

    train: list[VideoRecord]
    validation: list[VideoRecord]
    test: list[VideoRecord]


def with_protocol(config: FinetuneConfig, *, has_validation: bool) -> FinetuneConfig:
    """The configuration with the protocol that it names, or that the data ask for.

    Args:
        config: as given.
        has_validation: the data come with a validation split of their own.

    Raises:
        ConfigError: there is no validation split to choose on, or a second one was asked for.
    """
    if has_validation and config.validation_share:
        raise ConfigError(
            f"--validation_share {config.validation_share}: the data have a validation split of their own; drop it"
        )
    protocol = config.protocol or ("validation" if has_validation else "last")
    if protocol == "validation" and not has_validation and not config.validation_share:
        raise ConfigError(
            "--protocol validation needs --validation_share (say 0.1), or data with a validation split of their own"
        )
    return replace(config, protocol=protocol)


def carve_validation(
    records: list[VideoRecord], share: float, *, seed: int
) -> tuple[list[VideoRecord], list[VideoRecord]]:
    """(training, validation): `share` of every class's videos by seed, whole UCF101 groups where names tell them.

    Raises:
        ConfigError: a class would be left without a training video.
    """
    if share == 0:
        return records, []
    units = groups_of(records) or [record.name for record in records]
    chosen: set[str] = set()
    for label in sorted(set(labels_of(records).tolist())):
        members = [(unit, record) for unit, record in zip(units, records, strict=True) if record.label == label]
        own = sorted({unit for unit, _ in members})
        count = max(1, round(share * len(own)))
        if count >= len(own):
            raise ConfigError(
                f"--validation_share {share}: leaves class {members[0][1].class_name or label} "
                f"({len(own)} videos or groups) no training video"
            )
        chosen |= {own[place] for place in numpy_rng(seed, "validation", label).permutation(len(own))[:count]}
    marked = list(zip(units, records, strict=True))
    return [r for unit, r in marked if unit not in chosen], [r for unit, r in marked if unit in chosen]


class Finetuning:
    """One process's part of a fine-tuning: everything built, then `run`."""

    def __init__(self, config: FinetuneConfig, parts: Parts, fabric: Fabric, precision: str) -> None:
        self.config, self.fabric, self.precision = config, fabric, precision
        self.train, self.validation, self.test = parts.train, parts.validation, parts.test
        self.class_names = class_names(self.train, self.validation, self.test)
        log = SkipLog(
            Path(config.out) / SKIPPED,
            num_videos=len(self.train),
            max_share=config.clips.max_skipped,
            option="--clips.max_skipped",
        )
        self.training = Training(config, self.train, fabric, log)
        saved = self.training.find_saved(lambda old: settings_of_result(old, self._settings()))
        self.looks: list[dict[str, float]] = [] if saved is None else saved["looks"]
        self.model, self.init_sha256 = make_classifier(
            config.model, num_classes=len(self.class_names), seed=config.seed
        )
        self.model.backbone.recompute = config.engine.activation_checkpointing
        if config.engine.compile:
            self.model.compile()
        threads, self.workers = pick_threads_and_workers(
            threads=config.engine.threads,
            workers=config.clips.num_workers,
            device=fabric.device,
            processes=processes(devices=config.engine.devices, num_nodes=config.engine.num_nodes)[0],
            work=lambda: 3 * multiply_adds(self.model.backbone, self._clip_shape),  # forward 1, backward 2
        )
        schedule = self._schedule()  # refuses a batch larger than the data set, before anything is written
        self.training.open_folder("finetune", threads=threads, precision=precision)
        self.training.set_network(
            self.model,
            self.model,
            parameters=parameter_groups(self.model, layer_decay=config.model.layer_decay),
            schedule=schedule,
            saved=saved,
        )
        self.training.set_loop(
            train_step=self.train_step,
            save=self.save,
            shown=SHOWN,
            clips_per_step=config.clips.batch_size,
            files_of=lambda batch: batch.files,
            saved=saved,
        )

    def _settings(self) -> dict[str, Any]:
        return training_settings(self.config) | {"train_videos": len(self.train)}

    @property
    def _clip_shape(self) -> tuple[int, int, int, int]:
        clips = self.config.clips
        return 3, clips.num_frames, clips.size, clips.size

    def _schedule(self) -> Schedule:
        config, steps_per_epoch = self.config, self._sampler(start=0, total=0).steps_per_epoch
        return make_schedule(
            config.optim,
            batch_size=config.clips.batch_size,
            total_steps=config.max_steps or config.epochs * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
        )

    def _sampler(self, *, start: int, total: int) -> LabelledSampler:
        return LabelledSampler(
            labels_of(self.train).tolist(),
            batch_size=self.config.clips.batch_size,
            seed=self.config.seed,
            total_steps=total,
            start_step=start,
            balanced=self.config.clips.balanced,
            rank=self.fabric.global_rank,
            world_size=self.fabric.world_size,
        )

    def run(self) -> int:
        """Train to the end or until stopped, test, and write the result. Returns the exit code."""
        videos = f"{len(self.train)} training, {len(self.validation)} validation, {len(self.test)} test videos"
        self.training.console.print(
            f"{videos}, {len(self.class_names)} classes; {self.training.loop.total_steps} steps of "
            f"{self.config.clips.batch_size} clips; {self.model.backbone.name} on {self.fabric.device.type}, "
            f"{self.precision}, {torch.get_num_threads()} threads, {self.workers} loader workers",
            highlight=False,
        )
        if self.config.protocol == "official":
            print_note(self.training.console, "--protocol official picks the epoch on the test split")
        self.model.train()
        clips = self.config.clips
        finished = self.training.run(
            self._batches(),
            estimate=lambda: training_bytes(
                self.model.backbone,
                self._clip_shape,
                clips=clips.batch_size // self.fabric.world_size,
                halved=self.precision != "fp32",
            ),
            lower="lower --clips.batch_size, --clips.size or --clips.num_frames, or start more ranks",
        )
        if not finished:
            return STOPPED_EXIT_CODE
        self._test()
        return 0

    def _batches(self) -> Iterator[LabelledBatch]:
        clips = self.config.clips
        preset = AugmentPreset(crop_area=clips.crop_area, flip_p=0.5 if clips.flip else 0.0)
        dataset = LabelledClipDataset(self.train, shape=clip_shape(clips), preset=preset, seed=self.config.seed)
        sampler = self._sampler(start=self.training.loop.step, total=self.training.loop.total_steps)
        return labelled_batches(dataset, sampler, num_workers=self.workers)

    def train_step(self, batch: LabelledBatch, step: int) -> Mapping[str, Tensor]:
        """Forward and backward of one batch; gradients are left on the classifier."""
        self.training.skipped.note(batch.skipped, step)
        for group in self.training.optimizer.param_groups:  # the loop has just set all groups to the schedule's rate
            group["lr"] *= group["lr_scale"]
        batch = batch.to(self.fabric.device, non_blocking=True)
        logits = self.training.network(normalise(batch.clips)).float()
        loss = cross_entropy(logits, batch.labels, label_smoothing=self.config.model.label_smoothing)
        self.fabric.backward(loss)
        average_statistics_over_ranks(self.model)
        return {"loss": loss.detach(), "top1": (logits.argmax(dim=1) == batch.labels).float().mean()}

    def save(self, step: int, epoch_ends: bool) -> None:
        """Look at the validation (or, official, test) split after an epoch; checkpoint everything for a resume."""
        looked_at = self.test if self.config.protocol == "official" else self.validation
        is_best = bool(epoch_ends and looked_at) and self._look(looked_at, step)
        content = {
            "task": CLASSIFIER_TASK,
            "step": step,
            "config": self._settings(),
            "model_config": self.model.config,
            "class_names": self.class_names,
            "init_sha256": self.init_sha256,
            "model": self.model.state_dict(),
            "looks": self.looks,
            **self.training.origin,
        }
        if is_best and self.config.protocol != "last":
            on_rank_zero(lambda: save_checkpoint(self.training.folder / BEST, content))
        self.training.save(content, numbered=epoch_ends)

    def _look(self, records: list[VideoRecord], step: int) -> bool:
        """Note top-1 on `records` with few clips; whether it is the best so far (of equals the first)."""
        kept, scores, _ = self._scores(records, num_clips=self.config.look_clips)
        self.model.train()
        top1 = float(top_k_hits(scores, labels_of(kept), 1).mean()) if kept else 0.0
        is_best = all(top1 > look["top1"] for look in self.looks)
        self.looks.append({"epoch": step / self.training.loop.steps_per_epoch, "step": step, "top1": top1})
        split = "test" if records is self.test else "validation"
        self.training.console.print(f"epoch {self.looks[-1]['epoch']:g}: {split} top-1 {top1:.3f}", highlight=False)
        return is_best

    def _scores(self, records: list[VideoRecord], *, num_clips: int | None = None) -> Any:
        self.model.eval()
        machine = {"device": self.fabric.device, "precision": self.precision, "num_workers": self.workers}
        return shared_scores(self.model, records, scoring_view(self.config.clips, num_clips=num_clips), machine)

    def _test(self) -> None:
        """Test the epoch that the protocol reports, and write the result."""
        reported = LAST if self.config.protocol == "last" else BEST
        trained = open_classifier(str(self.training.folder / reported))
        self.model.load_state_dict(trained.model.state_dict())
        scored = self._scores(self.test)
        if not self.fabric.is_global_zero:
            return
        protocol = self.config.protocol
        selected_on = {"validation": "validation", "official": "test"}.get(protocol) if protocol else None
        stamp = finetune_stamp(trained, self.config.clips, precision=self.precision)
        stamp |= data_stamp(self.config.data, train=len(self.train), test=len(scored[0]))
        write_scores(
            self.training.folder,
            scored,
            class_names=self.class_names,
            protocol=stamp,
            command="finetune",
            extra={
                "checkpoint": reported,
                "epoch_selected_on": selected_on,
                "looks": self.looks,
                "validation_videos": len(self.validation),
                "validation_from": ("training" if self.config.validation_share else "data")
                if self.validation
                else None,
                "skipped_training_videos": len(self.training.skipped.log),
            },
        )


_MACHINE = {"data": ("root",), "clips": NOT_OF_THE_WEIGHTS, "model": ("init",), "optim": ()}


def settings_of_result(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(option, old, new) of every option that the trained weights depend on; machine and test settings may change."""
    for section, free in _MACHINE.items():
        for name, value in wanted[section].items():
            if name not in free:
                yield f"{section}.{name}", saved[section].get(name), value
    for name in ("protocol", "validation_share", "look_clips", "epochs", "max_steps", "seed", "train_videos"):
        yield name, saved.get(name), wanted[name]
