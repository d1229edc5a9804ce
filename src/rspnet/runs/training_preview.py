"""What a training will cost, from a few of its steps; nothing is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import torch
from rich.console import Console
from torch import nn

from rspnet.core.cost import as_time
from rspnet.core.counts import counted
from rspnet.core.progress import print_note
from rspnet.core.ranks import launched_from_outside
from rspnet.engine.launch import make_fabric
from rspnet.engine.runtime import device_in_words
from rspnet.models.layout import channels_last
from rspnet.runs.training import BatchShare, Engine, Job, TrainingProcess

SECONDS = 3.0
"""How long is measured, at least three steps."""
CLIPS_OF_A_GROUP = 4
"""Clips that are measured of a group which normalises together, at most."""
_NOT_MEASURED = "no estimate of the time: the machine it is for is not this one; the same command there measures it"
_STEPS = 3


@dataclass(frozen=True)
class ClipSeconds:
    """What a clip costs one process, in seconds: `step` forwards, backwards and all keys, `load` reading by itself."""

    step: float
    load: float

    def with_workers(self, workers: int) -> float:
        """Where so many processes read, or none but the training itself."""
        return max(self.step, self.load / workers) if workers else self.step + self.load


def measure_training(job: Job, engine: Engine) -> ClipSeconds | None:
    """Do a few steps of a job without its optimiser; None where it has too few batches.

    Args:
        job: a training on one process, whose batches are read here.
        engine: where.
    """
    fabric = make_fabric(device=engine.device, precision=engine.precision, devices=1, num_nodes=1)
    torch.set_num_threads(engine.threads)
    job.model.to(engine.device)
    if engine.channels_last:
        channels_last(job.model)
    job.model.train()
    process = TrainingProcess(fabric, cast(nn.Module, fabric.setup_module(job.trained)))
    loads: list[float] = []
    steps: list[float] = []
    batches, started = iter(job.batches(BatchShare(0, 0, 1, None))), perf_counter()
    while len(steps) < _STEPS or perf_counter() - started < SECONDS:
        began = perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        loaded = perf_counter()
        job.step(process, batch, len(steps))
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        loads.append(loaded - began)
        steps.append(perf_counter() - loaded)
    job.model.zero_grad(set_to_none=True)
    if len(steps) < 2:
        return None
    clips = (len(steps) - 1) * job.clips_per_step  # the first step pays for every start
    return ClipSeconds(sum(steps[1:]) / clips, sum(loads[1:]) / clips)


def say_time(
    console: Console,
    tried: Callable[[], tuple[Job, Engine]],
    *,
    clips: int,
    steps: int,
    workers: int,
    device: torch.device,
) -> None:
    """Try a few steps and print how long a training will take; or why that cannot be told here.

    Args:
        console: where to.
        tried: gives what is tried: the training with fewer clips a step, on one process that reads by itself.
        clips: of a step, of one process.
        steps: of the training.
        workers: processes that read for each process.
        device: where it trains.
    """
    # A device that is not there, or other ranks that wait.
    if launched_from_outside() or (device.type == "cuda" and not torch.cuda.is_available()):
        print_note(console, _NOT_MEASURED)
        return
    found = measure_training(*tried())
    if found is None:
        console.print("time: too few videos to measure")
        return
    step = found.with_workers(workers) * clips
    each = as_time(step) if step >= 10 else f"{step:.2g} s"
    text = f"time: about {as_time(step * steps)} on {device_in_words(device)}, {each} a step"
    if workers and found.load / workers > 1.2 * found.step:
        enough = counted(math.ceil(found.load / found.step), "loader worker")
        text += f"; the network waits for videos: it would be kept busy by {enough}"
    console.print(text)


def disk_of(job: Job, *, keep: int) -> int:
    """The bytes of a training's checkpoints: weights, and the optimiser's state of what is trained."""
    numbers: int = sum(value.numel() for value in job.model.state_dict().values())
    copies = 2 if job.optimizer.name == "adamw" else 1
    numbers += copies * sum(value.numel() for value in job.parameters)
    return 4 * numbers * (1 + keep)
