"""What a device can do and what steps of a pre-training do on it: layouts, compiled or not, batches up to what fits."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from time import perf_counter
from typing import Any

import torch

from rspnet.api.pretraining_plan import FORWARDS_PER_STEP
from rspnet.core.errors import NotEnoughMemoryError
from rspnet.engine.memory import memory_advice
from rspnet.engine.runtime import has_native_bf16
from rspnet.lab.bench.bench_step import multiply_adds_per_clip
from rspnet.lab.bench.our_step import OurStep, random_views
from rspnet.pretext.rspnet import RSPNet

Row = dict[str, Any]


@dataclass(frozen=True)
class StepSetting:
    """How a step is taken."""

    backbone: str
    batch_size: int
    compiled: bool = False
    num_frames: int = 16
    size: int = 112


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_rates(device: torch.device, *, side: int, repeats: int = 10) -> Row:
    """The device's own bf16 matrix rate (FLOP/s, side x side x side) and rate of copying (bytes/s read and written).

    Random numbers: zeros run faster than data do. The median of single timed products, after two to warm up.
    """
    left, right = (torch.randn(side, side, device=device).to(torch.bfloat16) for _ in range(2))
    target = torch.empty_like(left)
    product = _median(lambda: torch.mm(left, right, out=target), device, repeats)
    copy = _median(lambda: target.copy_(left), device, repeats)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "torch": str(torch.__version__),
        "matrix_side": side,
        "matrix_rate": 2 * side**3 / product,
        "copy_rate": 2 * left.numel() * left.element_size() / copy,
    }


def _median(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    seconds = []
    for turn in range(repeats + 2):
        synchronise(device)
        started = perf_counter()
        work()
        synchronise(device)
        if turn >= 2:
            seconds.append(perf_counter() - started)
    return statistics.median(seconds)


def time_step(setting: StepSetting, device: torch.device, *, seconds: float, matrix_rate: float) -> Row:
    """Steps for about `seconds` after two to warm up, or {"error": ...} where memory does not hold them.

    Returns:
        The setting, clips/s, FLOP/s and its share of `matrix_rate`, the least the host took to hand out a step (where
        that is as long as the step, the device waits for the host), peak memory in bytes (of the device, where it
        counts), the first step's seconds (with compiling).
    """
    _forget(device)
    try:
        with memory_advice(estimate=lambda: 0, lower="smaller batches"):
            return asdict(setting) | _timed_steps(setting, device, seconds=seconds, matrix_rate=matrix_rate)
    except NotEnoughMemoryError:
        return asdict(setting) | {"error": "out of memory"}


def _timed_steps(setting: StepSetting, device: torch.device, *, seconds: float, matrix_rate: float) -> Row:
    halved = has_native_bf16(device)
    views = random_views(setting.batch_size, num_frames=setting.num_frames, size=setting.size, device=device)
    step = OurStep(RSPNet(setting.backbone), views, device, halved=halved, compiled=setting.compiled)
    started = perf_counter()
    step()
    synchronise(device)
    first = perf_counter() - started
    step()
    synchronise(device)
    started = before = perf_counter()
    handing_out, count = [], 0
    while before - started < seconds or count < 1:
        step()
        count += 1
        after = perf_counter()
        handing_out.append(after - before)
        if count % 4 == 0:
            synchronise(device)
        before = perf_counter()
    synchronise(device)
    each = (perf_counter() - started) / count
    work = _work(setting.backbone, setting.num_frames, setting.size)
    rate = 2 * FORWARDS_PER_STEP * work * setting.batch_size / each
    return {
        "precision": "bf16" if halved else "fp32",
        "steps": count,
        "step_seconds": each,
        "host_seconds": min(handing_out),
        "first_step_seconds": first,
        "clips_per_s": setting.batch_size / each,
        "rate": rate,
        "share_of_matrix_rate": rate / matrix_rate,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


@cache
def _work(backbone: str, num_frames: int, size: int) -> int:
    return multiply_adds_per_clip(backbone, num_frames=num_frames, size=size)


def _forget(device: torch.device) -> None:
    """Drop what earlier settings left: compiled code, memory, and the mark of its peak."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def growing_batches(
    backbone: str, device: torch.device, *, batches: Sequence[int], seconds: float, matrix_rate: float, **setting: Any
) -> Iterator[Row]:
    """`time_step` for one batch size after the other, until memory does not hold one."""
    for batch_size in batches:
        row = time_step(StepSetting(backbone, batch_size, **setting), device, seconds=seconds, matrix_rate=matrix_rate)
        yield row
        if "error" in row:
            return


def busiest_kernels(setting: StepSetting, device: torch.device, *, count: int = 14) -> Iterator[Row]:
    """What the device spends a step on: kernels by name, milliseconds a step and calls, the longest first."""
    _forget(device)
    views = random_views(setting.batch_size, num_frames=setting.num_frames, size=setting.size, device=device)
    step = OurStep(RSPNet(setting.backbone), views, device, halved=True)
    step()
    kinds = torch.profiler.ProfilerActivity
    wanted = [kinds.CPU, kinds.CUDA] if device.type == "cuda" else [kinds.CPU]
    with torch.profiler.profile(activities=wanted) as profile:
        step()
        synchronise(device)
    on_gpu = device.type == "cuda"
    spent = {
        event.key: (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count)
        for event in profile.key_averages()
    }
    for name, (microseconds, calls) in sorted(spent.items(), key=lambda item: -item[1][0])[:count]:
        yield {"what": f"kernel of {setting.backbone}", "name": name[:110], "ms": microseconds / 1e3, "calls": calls}
