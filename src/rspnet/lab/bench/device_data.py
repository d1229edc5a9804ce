"""Does data keep up with a device: augmentation on it, packed videos read by its cores, videos embedded, a real run."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch

from rspnet.config.pack import PackConfig
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.augment import draw_jitter
from rspnet.data.batches import PairBatch, make_views
from rspnet.data.loader import make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import Skip
from rspnet.data.synthetic.procedural import plan_clips, write_set
from rspnet.engine.curves import METRICS, read_curves
from rspnet.engine.prefetch import prefetched
from rspnet.engine.runtime import available_cores
from rspnet.features.embedder import Embedder
from rspnet.lab.bench.device_step import Row, synchronise
from rspnet.pretext.rspnet import RSPNet
from rspnet.runs.pretraining_data import PretrainingClips, pair_dataset

SPEEDS = (2,)
LABELS = "clips.csv"


class Scale(NamedTuple):
    """How much of everything; `SMALL` is for a CPU's try of all parts in seconds."""

    videos: int
    video_frames: int
    video_side: int
    num_frames: int
    size: int
    batch_size: int
    backbone: str
    seconds: float


FULL = Scale(192, 80, 160, 16, 112, 64, "r3d_18", 6.0)
SMALL = Scale(4, 20, 32, 4, 16, 2, "r3d_10_slim", 0.05)


def drawn_videos(folder: Path, scale: Scale) -> Path:
    """A folder of procedural videos (H.264 and XVID), drawn unless it is there already."""
    if not (folder / LABELS).exists():
        clips = plan_clips(num_videos=scale.videos, seed=0, num_frames=scale.video_frames, size=scale.video_side)
        write_set(folder, clips, workers=available_cores())
    return folder


def augmenting(device: torch.device, scale: Scale) -> Row:
    """Clips/s of `make_views` on batches that are on the device: a query and both keys of every clip."""
    rng, preset = numpy_rng("bench augment"), augment_preset("published")
    batch = scale.batch_size

    def frames(count: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(0, 256, (batch, count, scale.size, scale.size, 3), np.uint8))

    def jitter() -> torch.Tensor:
        return torch.from_numpy(np.stack([draw_jitter(preset, rng) for _ in range(batch)]))

    few = torch.arange(batch)
    shown = torch.arange(scale.num_frames).expand(batch, -1).contiguous()
    moved = PairBatch(
        frames(scale.num_frames),
        frames(2 * scale.num_frames - 1),
        shown,
        2 * shown,
        jitter(),
        jitter(),
        few,
        few,
        few,
        [],
    ).to(device)
    count, started, first = 0, perf_counter(), 0.0
    while count < 3 or perf_counter() - started < scale.seconds / 3:
        make_views(moved)
        synchronise(device)
        count += 1
        if count == 1:
            first, started = perf_counter() - started, perf_counter()
    each = (perf_counter() - started) / (count - 1)
    return {"what": "augment", "batch_size": batch, "clips_per_s": batch / each, "first_seconds": first}


def loading(device: torch.device, scale: Scale, records: Sequence[VideoRecord], *, workers: int) -> Row:
    """Clips/s of reading packed videos with so many processes, copied to the device; nothing is computed."""
    clips = PretrainingClips(scale.num_frames, scale.size, SPEEDS)
    dataset = pair_dataset(clips, records, seed=0)
    sampler = PairSampler(len(records), batch_size=scale.batch_size, seed=0, speeds=SPEEDS, total_steps=10**6)
    loader = iter(prefetched(make_loader(dataset, sampler, num_workers=workers), device))
    began = perf_counter()
    next(loader)
    count, started = 0, perf_counter()
    while count < 2 or perf_counter() - started < scale.seconds:
        next(loader)
        count += 1
    synchronise(device)
    per_s = count * scale.batch_size / (perf_counter() - started)
    return {"what": "load packed", "workers": workers, "clips_per_s": per_s, "first_seconds": started - began}


def embedding(device: torch.device, scale: Scale, records: Sequence[VideoRecord], *, workers: int) -> Row:
    """Videos/s from files to vectors: the usual 10 clips of each."""
    model = RSPNet(scale.backbone, queue_size=1, num_frames=scale.num_frames, size=scale.size)
    kind: Any = device.type
    embedder = Embedder(model, device=kind, num_workers=workers, batch_size=16)
    count, began, started = 0, perf_counter(), 0.0
    for found in embedder.stream(records):
        assert not isinstance(found, Skip), found
        if count == 0:
            started = perf_counter()
        count += 1
        if count > 2 and perf_counter() - started > scale.seconds:
            break
    per_s = (count - 1) / (perf_counter() - started)
    return {
        "what": f"embed {scale.backbone}",
        "workers": workers,
        "videos_per_s": per_s,
        "first_seconds": started - began,
    }


def data_rows(device: torch.device, scale: Scale, work: Path) -> Iterator[Row]:
    """All of it, the quickest first."""
    yield augmenting(device, scale)
    started = perf_counter()
    folder = drawn_videos(work / "videos", scale)
    yield {"what": "draw and encode", "videos": scale.videos, "seconds": perf_counter() - started}
    records = read_folder(folder)
    cores, few = (1, 0) if scale is SMALL else (available_cores(), 1)
    for workers in sorted({few, cores - 1}):
        yield embedding(device, scale, records, workers=workers)
    packs = work / "packs"
    if not packs.exists():
        from rspnet.commands.pack import pack

        pack(PackConfig(videos=str(folder), out=str(packs), num_workers=cores))
    packed = read_folder(packs)
    for workers in sorted({few, cores // 2, cores - 1}):
        yield loading(device, scale, packed, workers=workers)


def recipe_rows(device: torch.device, scale: Scale, work: Path, *, seconds: float) -> Iterator[Row]:
    """`rspnet pretrain --recipe pretrain/k400-r3d_18` on drawn videos for so many seconds: its curve.

    The batch is that of one of the published recipe's GPUs, the rest is the recipe's; the run is stopped as a user
    would, by SIGINT, and ends with a checkpoint.
    """
    folder = drawn_videos(work / "videos", scale)
    options = [
        "--recipe", "pretrain/k400-r3d_18", "--data.root", str(folder), "--out", str(work / "run"),
        f"--data.batch_size={scale.batch_size}", f"--data.num_frames={scale.num_frames}", f"--data.size={scale.size}",
        f"--model.backbone={scale.backbone}", "--model.queue_size=256", "--engine.log_every=5",
        f"--engine.device={device.type}", "--engine.loggers=[csv]",
    ]  # fmt: skip
    if scale is SMALL:
        options += ["--data.num_workers=0", "--max_steps=2"]
    run = subprocess.Popen([sys.executable, "-m", "rspnet", "pretrain", *options])  # noqa: S603
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
        run.wait(60)
    yield {"what": "recipe", "exit_code": run.returncode, "authors_clips_per_s_a_v100": 24}
    for row in read_curves(work / "run" / METRICS):
        yield {name: float(value) for name, value in row.items()}
