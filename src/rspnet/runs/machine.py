"""`rspnet doctor --system`: what this machine can do."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import av
import torch
from rich.table import Table

from rspnet.core.console import PlainConsole
from rspnet.engine.runtime import available_cores, has_native_bf16, pick_device
from rspnet.models.kinds import InputKind
from rspnet.models.layout import channels_last
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg")
EXTRAS = {"search": "lancedb", "probe": "sklearn", "export": "onnx", "wandb": "wandb"}
_SIDE = 2048
_PUBLISHED_CLIPS = 240_000 * 200  # Kinetics-400, 200 epochs
_PUBLISHED_DAYS = 60
_SMALL_CLIPS = 1000 * 20


def print_system() -> None:
    """Print a table of facts, measured speeds and the recipe they allow."""
    table = Table(show_header=False, box=None)
    for name, value in system_facts().items():
        table.add_row(name, value)
    PlainConsole().print(table)


def system_facts() -> dict[str, str]:
    """Facts by name, as text; takes some seconds, for speeds are measured."""
    device = pick_device("auto")
    bf16 = has_native_bf16(device)
    rate = product_rate(device, torch.bfloat16 if bf16 else torch.float32)
    published = step_rate(device, "r3d_18", input="rgb", num_frames=16, size=112, batch_size=4, bf16=bf16)
    small = step_rate(device, "two_stream_slim", input="difference", num_frames=16, size=48, batch_size=16, bf16=bf16)
    return {
        "rspnet": version("rspnet"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "PyAV / FFmpeg": f"{av.__version__} / {av.ffmpeg_version_info}",
        "decoders": _marked(CODECS, {name for name in CODECS if name in av.codecs_available}),
        "encoder of transcode": "libx264" if "libx264" in av.codecs_available else "libx264 is missing",
        "extras": _marked(EXTRAS, {name for name, module in EXTRAS.items() if find_spec(module) is not None}),
        "cores": str(available_cores()),
        "memory": memory_text(),
        "GPU": gpu_text(device),
        "native bf16": "yes" if bf16 else "no: --precision auto uses fp32",
        "matrix products": f"{rate:.0f} GFLOP/s in {'bf16' if bf16 else 'fp32'} (measured)",
        "pre-training, R3D-18 16 x 112²": f"{published:.3g} clips a second (measured, without reading videos)",
        "pre-training, small-cpu": f"{small:.3g} clips a second (the same)",
        "recommended": recommended(published, small),
    }


def _marked(names: Iterable[str], there: set[str]) -> str:
    missing = [name for name in names if name not in there]
    found = ", ".join(name for name in names if name in there)
    return found + (f" (missing: {', '.join(missing)})" if missing else "")


def memory_text() -> str:
    """All of the machine's memory, what is free of it, and the limit of a container, if there is one."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    capped = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    cap = f", this container may use {int(capped) / 2**30:.1f}" if capped.isdecimal() and int(capped) < total else ""
    return f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} unused{cap}"


def gpu_text(device: torch.device) -> str:
    """Name and memory of the GPU, or "none"."""
    if device.type != "cuda":
        return "none"
    found = torch.cuda.get_device_properties(device)
    return f"{torch.cuda.device_count()} x {found.name}, {found.total_memory / 2**30:.0f} GiB"


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of a product of two square matrices; the best of three."""
    left = torch.rand(_SIDE, _SIDE, device=device).to(dtype)
    best = float("inf")
    for _ in range(4):
        started = perf_counter()
        total = (left @ left).sum().item()
        best = min(best, perf_counter() - started)
        assert total > 0
    return 2 * _SIDE**3 / best / 1e9


def step_rate(
    device: torch.device,
    backbone: str,
    *,
    input: InputKind,  # noqa: A002
    num_frames: int,
    size: int,
    batch_size: int,
    bf16: bool,
) -> float:
    """Clips a second of forward and backward passes of a pre-training step (no videos, no optimiser); best of two."""
    model = RSPNet(backbone, input=input, num_frames=num_frames, size=size, queue_size=256)
    channels_last(model.to(device))
    shape = (batch_size, 3, num_frames, size, size)
    clip = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last_3d)
    best = float("inf")
    for _ in range(3):
        started = perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = model(SpeedViews(clip, clip, clip)).loss
        loss.backward()
        loss.item()
        best = min(best, perf_counter() - started)
    return batch_size / best


def recommended(published: float, small: float) -> str:
    """The recipe to start with, from clips a second of R3D-18 and of the network of `small-cpu`."""
    days = _PUBLISHED_CLIPS / published / 86_400
    if days < _PUBLISHED_DAYS:
        return f"--recipe pretrain/k400-r3d_18 (200 epochs of Kinetics-400 would take about {days:.0f} days)"
    minutes = _SMALL_CLIPS / small / 60
    return f"--recipe pretrain/small-cpu (20 epochs of 1,000 videos take about {minutes:.0f} minutes)"
