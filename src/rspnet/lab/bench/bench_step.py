"""Seconds of one whole pre-training step: the public code's way against ours (docs/benchmarks.md)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from rspnet.api.pretraining_plan import FORWARDS_PER_STEP
from rspnet.engine.multiply_adds import multiply_adds
from rspnet.engine.runtime import has_native_bf16
from rspnet.lab.bench.our_step import DECAY, LR, OurStep, random_views
from rspnet.lab.bench.plain import plain_copy, plain_step, use_stock_convolutions
from rspnet.models.registry import create_backbone
from rspnet.pretext.rspnet import RSPNet

_MATMUL_SIZE = 4096
_CPU = torch.device("cpu")


def bench_step(
    *, backbone: str, batch_size: int = 4, num_frames: int = 16, size: int = 112, repeats: int = 5, threads: int = 1
) -> dict[str, Any]:
    """Time the whole step (EMA, two key passes, query, backward, SGD, queue) both ways, alternating, in this process.

    Plain is float32, contiguous, parameter by parameter; ours is channels_last_3d and fused, in bfloat16 autocast where
    the processor computes it natively. The machine's own matrix product of that type (4096 cubed) is timed in the same
    turns. With one thread the process's CPU
    time counts, which other work on the machine disturbs least.

    Args:
        backbone: name of the backbone.
        batch_size: clips a view.
        num_frames: frames a clip.
        size: height and width of the clips in pixels.
        repeats: timed turns after one warm-up; medians are reported.
        threads: torch's threads while measuring.

    Returns:
        JSON-able figures; times in seconds, rates in FLOP/s (a multiply-add is 2).
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        routes = _routes(backbone, batch_size=batch_size, num_frames=num_frames, size=size)
        seconds: dict[str, list[float]] = {name: [] for name in routes}
        for turn in range(repeats + 1):
            for name, run in routes.items():
                start = clock()
                run()
                if turn > 0:
                    seconds[name].append(clock() - start)
    finally:
        torch.set_num_threads(threads_before)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    multiply_adds = multiply_adds_per_clip(backbone, num_frames=num_frames, size=size)
    matmul_rate = 2 * _MATMUL_SIZE**3 / median["matmul"]
    our_rate = 2 * FORWARDS_PER_STEP * multiply_adds * batch_size / median["ours"]
    return {
        "backbone": backbone,
        "batch_size": batch_size,
        "num_frames": num_frames,
        "size": size,
        "repeats": repeats,
        "threads": threads,
        "precision": "bf16" if has_native_bf16(_CPU) else "fp32",
        "torch": torch.__version__,
        "plain_seconds": median["plain"],
        "ours_seconds": median["ours"],
        "speedup": median["plain"] / median["ours"],
        "multiply_adds_per_clip": multiply_adds,
        "our_rate": our_rate,
        "matmul_rate": matmul_rate,
        "share_of_matmul_rate": our_rate / matmul_rate,
        "all_seconds": seconds,
    }


def multiply_adds_per_clip(backbone: str, *, num_frames: int, size: int) -> int:
    """Multiply-adds of one clip's forward pass through the stock backbone, products with padding included."""
    with torch.device("meta"):
        network = create_backbone(backbone)
    use_stock_convolutions(network)
    return multiply_adds(network, (3, num_frames, size, size))


def _routes(backbone: str, *, batch_size: int, num_frames: int, size: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    views = random_views(batch_size, num_frames=num_frames, size=size)
    model = RSPNet(backbone)
    plain = plain_copy(model)
    native = has_native_bf16(_CPU)
    ours = OurStep(model, views, _CPU, halved=native)
    optimizer = torch.optim.SGD(plain.encoder_q.parameters(), lr=LR, momentum=0.9, weight_decay=DECAY, foreach=False)
    kind = torch.bfloat16 if native else torch.float32
    left, right = (torch.randn(_MATMUL_SIZE, _MATMUL_SIZE).to(kind) for _ in range(2))
    return {"plain": lambda: plain_step(plain, views, optimizer), "ours": ours, "matmul": lambda: left @ right}
