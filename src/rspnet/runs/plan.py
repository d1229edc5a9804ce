"""What a pre-training will do, worked out before anything heavy starts; `--dry-run` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from rspnet.config.pretrain import PairDataConfig, PretrainConfig
from rspnet.core.errors import ConfigError
from rspnet.core.progress import print_note
from rspnet.core.rng import derive_seed
from rspnet.data.annotations import VideoRecord, read_folder, read_list
from rspnet.data.checks.survey import Look, survey
from rspnet.data.clip_sets import ClipSetDataset
from rspnet.data.clip_tasks import ClipSampler, SpeedPairs
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import PairLoader, make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler, epoch_steps
from rspnet.engine.launch import processes
from rspnet.engine.memory import saved_activation_bytes, state_bytes
from rspnet.engine.optim import Schedule
from rspnet.engine.runtime import available_cores, multiply_adds, pick_device, pick_precision, pick_threads_and_workers
from rspnet.models.registry import create_backbone
from rspnet.pretext.base import PretextModel
from rspnet.runs.training import make_schedule

FORWARDS_PER_STEP = 5
"""A step in forward passes: query forward 1, its backward 2, two key passes."""
_SURVEY_SECONDS = 3.0


@dataclass(frozen=True)
class Plan:
    """Everything that follows from a configuration, the number of videos and this machine."""

    num_videos: int
    steps_per_epoch: int
    total_steps: int
    schedule: Schedule
    device: torch.device
    precision: str
    threads: int
    workers: int
    world_size: int
    warnings: tuple[str, ...]
    multiply_adds: int
    """Of one clip's forward pass through the backbone."""


def find_videos(root: str | None, list_file: str | None) -> list[VideoRecord]:
    """The videos of a list, or of a folder."""
    if list_file is not None:
        return read_list(list_file, root)
    assert root is not None
    return read_folder(root)


def make_plan(config: PretrainConfig, *, num_videos: int) -> Plan:
    """Work out steps, learning rate, device, precision, threads and workers.

    Raises:
        ConfigError: fewer clips in an epoch than in a batch, or no such device.
    """
    data, engine, optim = config.data, config.engine, config.optim
    steps_per_epoch = epoch_steps(num_videos, data.batch_size, clips_per_video=data.clips_per_video)
    if steps_per_epoch == 0:
        raise ConfigError(
            f"--data.batch_size {data.batch_size} is larger than an epoch: {num_videos} videos x "
            f"--data.clips_per_video {data.clips_per_video}; lower the one or raise the other"
        )
    total = config.max_steps or config.epochs * steps_per_epoch
    device = pick_device(engine.device)
    local, nodes = processes(devices=engine.devices, num_nodes=engine.num_nodes)
    per_clip = _multiply_adds_per_clip(config)
    threads, workers = pick_threads_and_workers(
        threads=engine.threads,
        workers=data.num_workers,
        device=device,
        processes=local,
        work=lambda: FORWARDS_PER_STEP * per_clip,
    )
    return Plan(
        num_videos=num_videos,
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        schedule=make_schedule(optim, batch_size=data.batch_size, total_steps=total, steps_per_epoch=steps_per_epoch),
        device=device,
        precision=pick_precision(engine.precision, device),
        threads=threads,
        workers=workers,
        world_size=local * nodes,
        warnings=config.model.notes(num_videos),
        multiply_adds=per_clip,
    )


def _multiply_adds_per_clip(config: PretrainConfig) -> int:
    """Of a clip's forward pass through the backbone."""
    with torch.device("meta"):
        backbone = create_backbone(config.model.backbone, input=config.model.input)
    return multiply_adds(backbone, (3, config.data.num_frames, config.data.size, config.data.size))


def print_plan(plan: Plan, config: PretrainConfig, model: PretextModel, console: Console) -> None:
    """Print the plan as a table."""
    slow, *fast = config.model.clips(config.data.played).speeds
    speeds = f"speeds {slow} and {fast}" if fast else f"speed {slow}"
    rows = {
        "videos": f"{plan.num_videos:,}",
        "clip": f"{config.data.num_frames} frames x {config.data.size}², {speeds}",
        "network": f"{config.model.backbone} ({config.model.input}), "
        f"{sum(p.numel() for p in model.trained.parameters()) / 1e6:.1f} M parameters, "
        f"{plan.multiply_adds / 1e9:.2g} G multiply-adds a clip, method {config.model.method}",
        "steps": f"{plan.total_steps:,} of {config.data.batch_size} clips ({plan.steps_per_epoch:,} an epoch)",
        "learning rate": f"{plan.schedule.peak:g} ({config.optim.name}, {config.optim.schedule})",
        "machine": f"{plan.world_size} x {plan.device.type}, {plan.precision}, {plan.threads} threads, "
        f"{plan.workers} loader workers each",
        "memory": f"about {memory_estimate(plan, config, model) / 2**30:.1f} GiB a process",
    }
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def memory_estimate(plan: Plan, config: PretrainConfig, model: PretextModel) -> int:
    """Bytes a process needs for activations, weights, gradients, optimiser, key encoder and queue."""
    shape = (3, config.data.num_frames, config.data.size, config.data.size)
    group = config.data.batch_size // (plan.world_size * config.model.virtual_ranks)
    share = 1.0 if plan.precision == "fp32" else 0.5
    copies = 2 if config.optim.name == "adamw" else 1
    frozen = _numbers(model) - _numbers(model.trained)
    activations = int(saved_activation_bytes(model.backbone, shape) * group * share)
    return activations + state_bytes(model.trained, optimizer_copies=copies) + frozen * 4


def _numbers(module: torch.nn.Module) -> int:
    """Numbers that a module's parameters and buffers hold."""
    return sum(value.numel() for value in module.state_dict().values())


def survey_videos(
    records: Sequence[VideoRecord], data: PairDataConfig, *, window: int, plan: Plan, seed: int, console: Console
) -> None:
    """Tell how many videos will have to be left out, from a look of some seconds at as many as that allows."""
    found = survey(
        records,
        Look(window=window, fps=data.fps),
        seed=seed,
        workers=plan.workers and available_cores(),
        max_seconds=_SURVEY_SECONDS,
    )
    part = "all" if found.looked_at == found.total else f"{found.looked_at:,} of"
    text = f"looked at {part} {found.total:,} videos in {found.seconds:.1f} s (containers and times, not pictures): "
    if found.unusable:
        first = found.unusable[0]
        text += f"{len(found.unusable):,} ({found.share:.1%}) will be left out, such as {first.name!r}: {first.reason}"
    else:
        text += "none has to be left out"
    console.print(text, highlight=False, markup=False)
    if found.share > data.max_skipped:
        print_note(
            console,
            f"that is more than --data.max_skipped {data.max_skipped:.1%}, at which the run ends; "
            "rspnet doctor names every bad video and writes a list of the others (--write-list)",
        )


def build_model(config: PretrainConfig) -> PretextModel:
    """The model with the initial weights that the seed gives."""
    torch.manual_seed(derive_seed(config.seed, "initial weights"))
    data = config.data
    created = config.model.create(speeds=data.played, num_frames=data.num_frames, size=data.size)
    created.backbone.recompute = config.engine.activation_checkpointing
    return created


def window_of(config: PretrainConfig) -> int:
    """Ticks that a video must have evenly spaced for one sample."""
    return config.model.clips(config.data.played).window(config.data.num_frames)


def pretraining_batches(
    config: PretrainConfig, records: Sequence[VideoRecord], sampler: PairSampler, **options: Any
) -> PairLoader[Any]:
    """The batches of a pre-training: the clips that its method wants, of the videos that the sampler names.

    Args:
        config: of the pre-training.
        records: the videos.
        sampler: this rank's videos, step by step.
        options: of `make_loader`.
    """
    clips = config.model.clips(config.data.played)
    if isinstance(clips, SpeedPairs):
        return make_loader(pair_dataset(config.data, records, seed=config.seed), sampler, **options)
    dataset = ClipSetDataset(records, task=clips, **_clip_options(config.data, seed=config.seed))
    return make_loader(dataset, ClipSampler(sampler, clips), **options)


def pair_dataset(data: PairDataConfig, records: Sequence[VideoRecord], *, seed: int) -> ClipPairDataset:
    """Where the samples of a pre-training by RSP and A-VID come from."""
    return ClipPairDataset(records, speeds=data.speeds, **_clip_options(data, seed=seed))


def _clip_options(data: PairDataConfig, *, seed: int) -> dict[str, Any]:
    """What data sets of every method are told alike."""
    preset = replace(augment_preset(data.augmentation), noise_std=data.noise_std)
    return {"num_frames": data.num_frames, "size": data.size, "fps": data.fps, "preset": preset, "seed": seed}
