"""Clips per second on one process, two virtual ranks and two real ones, and what their talking to each other costs."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from rspnet.core.leaving import end_process_group
from rspnet.engine.optim import make_optimizer
from rspnet.engine.runtime import has_native_bf16
from rspnet.models.layout import channels_last
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews


class RankLayout(NamedTuple):
    """How a step's clips are spread; `talking` is off for processes that only run at the same time."""

    name: str
    processes: int = 1
    threads: int = 1
    virtual_ranks: int = 1
    talking: bool = True


LAYOUTS = (
    RankLayout("1 process"),
    RankLayout("1 process, 2 threads", threads=2),
    RankLayout("2 virtual ranks", virtual_ranks=2),
    RankLayout("2 ranks", processes=2),
    RankLayout("2 processes that do not talk", processes=2, talking=False),
)


def bench_scaling(
    *, backbone: str, batch_size: int = 8, num_frames: int = 16, size: int = 112, repeats: int = 5
) -> dict[str, Any]:
    """Time whole pre-training steps of one global batch in every layout, each in fresh processes, without a loader.

    The communication share is what two ranks take longer than two processes that compute the same and do not talk.

    Args:
        backbone: name of the backbone.
        batch_size: clips of a step, even.
        num_frames: frames a clip.
        size: height and width of the clips in pixels.
        repeats: timed steps after one warm-up; the median counts.
    """
    seconds: dict[str, float] = {}
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            arguments = (layout, backbone, batch_size, num_frames, size, repeats, folder)
            mp.spawn(_measure, args=arguments, nprocs=layout.processes)  # type: ignore[no-untyped-call]
            found = [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*.json")]
        seconds[layout.name] = statistics.median(max(times) for times in zip(*found, strict=True))
    first = seconds[LAYOUTS[0].name]
    rows = [
        {"layout": name, "seconds a step": value, "clips/s": batch_size / value, "of 1 process": first / value}
        for name, value in seconds.items()
    ]
    model = RSPNet(backbone)
    return {
        "rows": rows,
        "backbone": backbone,
        "batch_size": batch_size,
        "repeats": repeats,
        "torch": str(torch.__version__),
        "communication_share": max(0.0, 1 - seconds[LAYOUTS[4].name] / seconds[LAYOUTS[3].name]),
        "gradient_megabytes": sum(p.numel() for p in model.encoder_q.parameters()) * 4 / 1e6,
    }


def _measure(
    rank: int, layout: RankLayout, backbone: str, batch_size: int, num_frames: int, size: int, repeats: int, folder: str
) -> None:
    """One process: writes its seconds of every timed step to a file."""
    seconds = _steps(rank, layout, backbone, batch_size, num_frames, size, repeats, folder)
    Path(folder, f"{rank}.json").write_text(json.dumps(seconds[1:]), encoding="utf-8")
    if dist.is_initialized():
        end_process_group()


def _steps(
    rank: int, layout: RankLayout, backbone: str, batch_size: int, num_frames: int, size: int, repeats: int, folder: str
) -> list[float]:
    """Seconds of every step; the first is warm-up. The wrapped network is freed here, before its process group ends."""
    torch.set_num_threads(layout.threads)
    if layout.processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=layout.processes)
        dist.barrier()
        if not layout.talking:
            dist.destroy_process_group()
    torch.manual_seed(0)
    model = RSPNet(backbone, virtual_ranks=layout.virtual_ranks)
    channels_last(model)
    ranks = layout.processes if layout.talking else 1
    # torch 2.13 has a new name for it, which 2.6 does not know.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
    encode = DistributedDataParallel(model.encoder_q, broadcast_buffers=False) if ranks > 1 else None
    optimizer = make_optimizer(model.encoder_q.parameters(), name="sgd", lr=1e-3, weight_decay=1e-4)
    shape = (batch_size // layout.processes, 3, num_frames, size, size)
    views = SpeedViews(
        *(torch.randn(shape).contiguous(memory_format=torch.channels_last_3d) for _ in SpeedViews._fields)
    )
    bf16 = has_native_bf16(torch.device("cpu"))
    seconds = []
    for step in range(repeats + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        outputs = model.group_outputs(views, step_seed=step, encode=encode)
        for _ in range(layout.virtual_ranks):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                output = next(outputs)
            (output.loss / layout.virtual_ranks).backward()  # type: ignore[no-untyped-call]
        model.finish_step()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds
