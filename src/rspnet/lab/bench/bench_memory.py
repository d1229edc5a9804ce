"""Peak memory of pre-training, with and without recomputed activations, and of reading; see docs/benchmarks.md."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from rspnet.data.annotations import VideoRecord
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler
from rspnet.engine.optim import make_optimizer
from rspnet.engine.runtime import has_native_bf16
from rspnet.lab.bench.bench_data import SCENE_FILES, encode_scene
from rspnet.models.layout import channels_last
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

_STEPS = 4
_FIRST = 1000
_BATCH = 10
_MIB = 2**20


def bench_memory(*, backbone: str, batch_size: int, videos: int = 10_000, threads: int = 1) -> dict[str, Any]:
    """Measure, each in a fresh process, a pre-training of a few steps both ways and a long look through a loader.

    Args:
        backbone: name of the network, at 16 frames of 112 x 112 pixels.
        batch_size: clips a step.
        videos: videos read by the loader, small files over and over; growth counts from the 1,000th on.
        threads: of torch.

    Returns:
        Rows of both trainings (peak RSS, of it above what was there before the first step, CPU seconds a step) and the
        loader's growth; sizes in MiB.
    """
    rows = []
    for recompute in (False, True):
        peak, before, seconds = _in_fresh_process(_train, backbone, batch_size, recompute, threads)
        rows.append(
            {
                "activation_checkpointing": recompute,
                "peak_mib": peak,
                "above_start_mib": peak - before,
                "step_s": seconds,
            }
        )
    plain, saving = rows
    result = {
        "rows": rows,
        "less_above_start": 1 - saving["above_start_mib"] / plain["above_start_mib"],
        "more_time": saving["step_s"] / plain["step_s"] - 1,
    }
    if videos > _FIRST:
        after_first, after_all = _in_fresh_process(_read, videos)
        result |= {"loader_videos": videos, "loader_growth_mib": after_all - after_first}
    return result


def _in_fresh_process(function: Any, *args: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def _train(backbone: str, batch_size: int, recompute: bool, threads: int) -> tuple[float, float, float]:
    """Peak RSS, RSS before the first step (MiB), median CPU seconds of a step after the first."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = channels_last(RSPNet(backbone))
    model.backbone.recompute = recompute
    optimizer = make_optimizer(model.encoder_q.parameters(), name="sgd", lr=1e-3, weight_decay=1e-4)
    views = SpeedViews(*(torch.randn(batch_size, 16, 112, 112, 3).permute(0, 4, 1, 2, 3) for _ in range(3)))
    before = rss_mib()
    seconds = []
    for _ in range(_STEPS):
        started = time.process_time()
        optimizer.zero_grad()
        outputs = model.group_outputs(views, step_seed=0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_native_bf16(torch.device("cpu"))):
            output = next(outputs)
        torch.autograd.backward(output.loss)
        model.finish_step()
        optimizer.step()
        seconds.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MIB
    return peak, before, statistics.median(seconds[1:])


def _read(videos: int) -> tuple[float, float]:
    """RSS in MiB after the first thousand videos and after all of them, read in this process."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as folder:
        paths = [encode_scene(kind, Path(folder), width=96, height=64, frames=40) for kind in SCENE_FILES]
        records = [VideoRecord(path, path.name) for path in paths for _ in range(_BATCH)]
        dataset = ClipPairDataset(
            records, num_frames=16, speeds=(2,), size=64, preset=augment_preset("published"), seed=0
        )
        steps = videos // _BATCH
        sampler = PairSampler(len(records), batch_size=_BATCH, seed=0, speeds=(2,), total_steps=steps)
        after_first = 0.0
        for step, _ in enumerate(make_loader(dataset, sampler, num_workers=0), start=1):
            if step == min(_FIRST // _BATCH, steps):
                after_first = rss_mib()
        return after_first, rss_mib()


def rss_mib() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / _MIB
