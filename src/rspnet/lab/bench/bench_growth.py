"""CPU seconds and peak memory of every step that looks at all videos, by their number: none may grow faster than it."""

from __future__ import annotations

import gc
import math
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from rspnet.core.console import PlainConsole
from rspnet.core.errors import RSPNetError
from rspnet.lab.bench.growth_steps import STEPS, GrowthPlace, Workers, make_place, status_mib

STEEPEST = 1.3
"""The greatest exponent b of cost = c * N^b that still counts as linear: N log N has 1.08 from 100,000 to a million,
and CPU seconds of a busy machine scatter by a fifth or so."""
FLOOR_S, FLOOR_MIB = 0.2, 64.0
"""Costs below these count as these: what they grow by is chance, or what a library keeps anyway."""
Step = Callable[[GrowthPlace], Callable[[], Workers | None]]


@dataclass(frozen=True)
class StepCost:
    """What a step took at one number of videos.

    Attributes:
        cpu_s: CPU seconds, of its workers too.
        clock_s: seconds on the clock.
        mib: memory above what the process had before, at its peak, and what its workers have for themselves.
    """

    cpu_s: float
    clock_s: float
    mib: float


def bench_growth(*, sizes: Sequence[int], steps: Mapping[str, Step] = STEPS) -> dict[str, Any]:
    """Measure every step at every number of videos, each in a fresh process of one thread, and judge the growth.

    Videos are names of one small file; the network gives random vectors and decodes nothing but the first batch of
    pre-training.

    Args:
        sizes: numbers of videos.
        steps: what is measured, by name; see `STEPS`.

    Returns:
        {"rows": [{"step", "videos", "CPU s", "s", "peak MiB", "CPU ~ N^", "MiB ~ N^"}], "failed": [sentences]}: the
        exponents are those from one number to the next; a step fails by those to the largest number.
    """
    found: dict[str, dict[int, StepCost]] = {name: {} for name in steps}
    console = PlainConsole(stderr=True)
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as root:
        for count in sorted(set(sizes)):
            place = make_place(Path(root), count)
            for name, step in steps.items():
                found[name][count] = cost = _in_fresh_process(name, step, place)
                line = f"{name}, {count} videos: {cost.cpu_s:.2f} CPU s, {cost.clock_s:.1f} s, {cost.mib:.0f} MiB"
                console.print(line)
            shutil.rmtree(place.folder)
    return judged(found)


def judged(found: Mapping[str, Mapping[int, StepCost]]) -> dict[str, Any]:
    """Rows and failures, see `bench_growth`, of the costs of steps by the number of videos (ascending)."""
    rows, failed = [], []
    for name, costs in found.items():
        before: tuple[int, StepCost] | None = None
        for count, cost in costs.items():
            laws = {"CPU ~ N^": "", "MiB ~ N^": ""}
            if before is not None:
                ratio = count / before[0]
                cpu = exponent(before[1].cpu_s, cost.cpu_s, ratio=ratio, floor=FLOOR_S)
                mib = exponent(before[1].mib, cost.mib, ratio=ratio, floor=FLOOR_MIB)
                laws = {"CPU ~ N^": f"{cpu:.2f}", "MiB ~ N^": f"{mib:.2f}"}
                if count == max(costs):
                    reach = f"from {before[0]} to {count} videos"
                    failed += [f"{name}: CPU seconds grow as N^{cpu:.2f} {reach}"] * (cpu > STEEPEST)
                    failed += [f"{name}: memory grows as N^{mib:.2f} {reach}"] * (mib > STEEPEST)
            sizes_and_times = {"CPU s": cost.cpu_s, "s": cost.clock_s, "peak MiB": cost.mib}
            rows.append({"step": name, "videos": count, **sizes_and_times, **laws})
            before = count, cost
    return {"rows": rows, "failed": failed}


def exponent(before: float, after: float, *, ratio: float, floor: float) -> float:
    """b of cost = c * N^b from two costs, the second at `ratio` times as many videos; less than `floor` is `floor`."""
    return math.log(max(after, floor) / max(before, floor)) / math.log(ratio)


def _in_fresh_process(name: str, step: Step, place: GrowthPlace) -> StepCost:
    """The cost of a step.

    Raises:
        RSPNetError: its process ended, or it failed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(step, place, there))
    process.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:
        answer = None
    process.join()
    if not isinstance(answer, StepCost):
        why = answer or f"its process ended with {process.exitcode}: out of memory?"
        raise RSPNetError(f"bench growth: {name} with {place.count} videos: {why}")
    return answer


def _measure(step: Step, place: GrowthPlace, pipe: Connection) -> None:
    torch.set_num_threads(1)
    try:
        pipe.send(cost_of(step, place))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise


def cost_of(step: Step, place: GrowthPlace) -> StepCost:
    """Prepare a step, do it in this process, and say what that took."""
    work = step(place)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here on
    before, cpu, clock = status_mib("VmRSS"), time.process_time(), time.perf_counter()
    workers = work() or Workers()
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    return StepCost(cpu + workers.cpu_s, clock, status_mib("VmHWM") - before + workers.mib)
