"""What a pre-training will do, worked out before anything heavy starts; `--dry_run` prints it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from rspnet.api.training_options import make_schedule
from rspnet.config.pretrain import PretrainConfig
from rspnet.core.counts import counted, of_number
from rspnet.core.errors import ConfigError
from rspnet.core.rng import derive_seed
from rspnet.data.sampler import epoch_steps
from rspnet.engine.memory import saved_activation_bytes, state_bytes
from rspnet.engine.multiply_adds import multiply_adds
from rspnet.engine.optim import Schedule
from rspnet.engine.processes import processes
from rspnet.engine.runtime import pick_device, pick_precision, pick_threads_and_workers, planned_device
from rspnet.models.registry import create_backbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.create import require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet

FORWARDS_PER_STEP = 5
"""A step in forward passes: query forward 1, its backward 2, two key passes."""


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


def make_plan(config: PretrainConfig, *, num_videos: int) -> Plan:
    """Work out steps, learning rate, device, precision, threads and workers.

    Raises:
        ConfigError: fewer clips in an epoch than in a batch, or no such device; a dry run plans for them all the same.
    """
    data, engine, optim = config.data, config.engine, config.optim
    steps_per_epoch = epoch_steps(num_videos, data.batch_size, clips_per_video=data.clips_per_video)
    if steps_per_epoch == 0:
        if not config.dry_run:
            raise ConfigError(too_few_videos(config, num_videos))
        steps_per_epoch = 1
    total = config.max_steps or config.epochs * steps_per_epoch
    device = planned_device(engine.device) if config.dry_run else pick_device(engine.device)
    local, nodes = processes(devices=engine.devices, num_nodes=engine.num_nodes)
    per_clip = _multiply_adds_per_clip(config)
    threads, workers = pick_threads_and_workers(
        threads=engine.threads,
        workers=data.num_workers,
        device=device,
        processes=local,
        work=lambda: FORWARDS_PER_STEP * per_clip,
    )
    schedule = make_schedule(optim, batch_size=data.batch_size, total_steps=total, steps_per_epoch=steps_per_epoch)
    return Plan(
        num_videos=num_videos,
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        schedule=schedule,
        device=device,
        precision=pick_precision(engine.precision, device),
        threads=threads,
        workers=workers,
        world_size=local * nodes,
        warnings=(*config.model.notes(num_videos), *schedule.notes, *_filling(config)),
        multiply_adds=per_clip,
    )


def _filling(config: PretrainConfig) -> Iterator[str]:
    """That the loss rises at first, where a user will see it rise."""
    steps = math.ceil(getattr(config.model, "queue_size", 0) / config.data.batch_size)
    if steps > config.engine.log_every:
        yield f"until step {steps:,} the loss rises by itself: the queue fills with keys, it starts with noise"


def too_few_videos(config: PretrainConfig, num_videos: int) -> str:
    """What is wrong where an epoch holds no batch; "" where it holds one."""
    data = config.data
    if epoch_steps(num_videos, data.batch_size, clips_per_video=data.clips_per_video):
        return ""
    return (
        f"--data.batch_size {data.batch_size} is larger than an epoch: {counted(num_videos, 'video')} x "
        f"--data.clips_per_video {data.clips_per_video}; lower the one or raise the other"
    )


def _multiply_adds_per_clip(config: PretrainConfig) -> int:
    """Of a clip's forward pass through the backbone."""
    with torch.device("meta"):
        backbone = create_backbone(config.model.backbone, input=config.model.input)
    return multiply_adds(backbone, (3, config.data.num_frames, config.data.size, config.data.size))


def print_plan(plan: Plan, config: PretrainConfig, model: PretextModel, console: Console) -> None:
    """Print the plan as a table."""
    played = config.model.clips(config.data.played).speeds
    speeds = f"{of_number(len(played), 'speed')} {' and '.join(map(str, played))}"
    rows = {
        "videos": f"{plan.num_videos:,}",
        "clip": f"{config.data.num_frames} frames x {config.data.size}², {speeds}",
        "network": f"{config.model.backbone} ({config.model.input}), "
        f"{sum(p.numel() for p in model.trained.parameters()) / 1e6:.1f} M parameters, "
        f"{plan.multiply_adds / 1e9:.2g} G multiply-adds a clip, method {config.model.method}",
        "steps": f"{plan.total_steps:,} of {config.data.batch_size} clips ({plan.steps_per_epoch:,} an epoch)",
        "learning rate": f"{plan.schedule.peak:g} ({config.optim.name}, {config.optim.schedule})",
        "machine": f"{plan.world_size} x {plan.device.type}, {plan.precision}, {counted(plan.threads, 'thread')}, "
        f"{counted(plan.workers, 'loader worker')} each",
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


def build_model(config: PretrainConfig) -> PretextModel:
    """The model with the initial weights that the seed gives, or with those of `--weights`.

    Raises:
        CheckpointError: these cannot be read, or have no heads.
        ConfigError: they are of another network.
    """
    torch.manual_seed(derive_seed(config.seed, "initial weights"))
    data = config.data
    created = config.model.create(speeds=data.played, num_frames=data.num_frames, size=data.size)
    created.fps = data.fps
    if config.weights is not None:
        if not isinstance(created, RSPNet):
            raise ConfigError(f"--weights: a training by {config.model.method!r} starts from random weights; drop it")
        found = require_heads(load_pretrained(config.weights), task="pretrain --weights")
        created.start_from(found, name=config.weights)
    created.backbone.recompute = config.engine.activation_checkpointing
    return created


def window_of(config: PretrainConfig) -> int:
    """Ticks that a video must have evenly spaced for one sample."""
    return config.model.clips(config.data.played).window(config.data.num_frames)
