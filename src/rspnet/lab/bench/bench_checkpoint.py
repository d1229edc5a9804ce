"""What writing a checkpoint costs a training: how long it waits, and how much slower its steps are meanwhile."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rspnet.core.run_files import LAST
from rspnet.engine.checkpoint import CheckpointFolder
from rspnet.engine.optim import make_optimizer
from rspnet.engine.runtime import has_native_bf16
from rspnet.models.layout import channels_last
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews


def bench_checkpoint(
    *, backbone: str, batch_size: int = 4, num_frames: int = 16, size: int = 112, repeats: int = 5, threads: int = 1
) -> dict[str, Any]:
    """Train for a few steps, write checkpoints between them into a temporary folder, and time both.

    Args:
        backbone: name of the backbone; the queue is the published one of 16,384 keys.
        batch_size: clips of a step.
        num_frames: frames a clip.
        size: height and width of the clips in pixels.
        repeats: checkpoints; medians count.
        threads: torch's threads while measuring.

    Returns:
        JSON-able figures; times in seconds.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model = RSPNet(backbone)
    channels_last(model)
    optimizer = make_optimizer(model.encoder_q.parameters(), name="sgd", lr=1e-3, weight_decay=1e-4)
    views = SpeedViews(*(torch.randn(batch_size, 3, num_frames, size, size) for _ in SpeedViews._fields))
    bf16 = has_native_bf16(torch.device("cpu"))

    def step() -> float:
        started = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            output = model(views)
        output.loss.backward()
        optimizer.step()
        return time.perf_counter() - started

    try:
        seconds, megabytes = _time_writes(
            step, lambda: {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, repeats=repeats
        )
    finally:
        torch.set_num_threads(threads_before)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "backbone": backbone,
        "batch_size": batch_size,
        "repeats": repeats,
        "threads": threads,
        "torch": str(torch.__version__),
        "megabytes": megabytes,
        "wait_seconds": median["wait"],
        "write_seconds_without_training": median["write"],
        "step_seconds": median["quiet"],
        "step_seconds_beside_writing": median["beside"],
        "cost_seconds_of_a_checkpoint": median["wait"] + median["beside"] - median["quiet"],
    }


def _time_writes(
    step: Callable[[], float], content: Callable[[], dict[str, Any]], *, repeats: int
) -> tuple[dict[str, list[float]], float]:
    """Seconds of steps with no writing (quiet) and during it, of the training's wait for a write, and of writing alone.

    The second value is a checkpoint's size in MB.
    """
    seconds: dict[str, list[float]] = {"quiet": [], "beside": [], "wait": [], "write": []}
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = CheckpointFolder(Path(folder), keep=1)
        step()
        for number in range(repeats):
            seconds["quiet"].append(step())
            started = time.perf_counter()
            checkpoints.save(content(), step=number, numbered=True)
            seconds["wait"].append(time.perf_counter() - started)
            seconds["beside"].append(step())
            checkpoints.wait()
            started = time.perf_counter()
            checkpoints.save(content(), step=number, numbered=True)
            checkpoints.wait()
            seconds["write"].append(time.perf_counter() - started)
        return seconds, (Path(folder) / LAST).stat().st_size / 1e6
