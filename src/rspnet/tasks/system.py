"""`rspnet doctor --system`: what this machine can do."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from time import perf_counter

import av
import torch
from rich.console import Console
from rich.table import Table

from rspnet.engine.runtime import available_cores, has_native_bf16, pick_device

CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg")
_STEP_GFLOP = 2 * 5 * 8.3  # a clip's whole step of R3D-18 at 16 x 112²: 5 forwards of 8.3 G multiply-adds (TARGETS)
_STEP_SHARE = 0.8  # of the matrix-product rate that a step reaches
_SIDE = 2048


def print_system() -> None:
    """Print a table of facts, a measured speed and the recipe it allows."""
    table = Table(show_header=False, box=None)
    for name, value in system_facts().items():
        table.add_row(name, value)
    Console().print(table)


def system_facts() -> dict[str, str]:
    """Facts by name, as text."""
    device = pick_device("auto")
    bf16 = has_native_bf16(device)
    rate = product_rate(device, torch.bfloat16 if bf16 else torch.float32)
    clips = rate * _STEP_SHARE / _STEP_GFLOP
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    return {
        "rspnet": version("rspnet"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "PyAV / FFmpeg": f"{av.__version__} / {av.ffmpeg_version_info}",
        "decoders": ", ".join(name for name in CODECS if name in av.codecs_available),
        "cores": str(available_cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "GPU": gpu,
        "native bf16": "yes" if bf16 else "no: --precision auto uses fp32",
        "matrix products": f"{rate:.0f} GFLOP/s in {'bf16' if bf16 else 'fp32'}",
        "pre-training, R3D-18 16 x 112²": f"about {clips:.3g} clips a second (expected, not measured)",
        "recommended": recommended(clips),
    }


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


def recommended(clips_per_second: float) -> str:
    """What to start with: the published recipe wants 240,000 clips an epoch and 200 epochs."""
    days = 240_000 * 200 / clips_per_second / 86_400
    if days < 60:
        return f"--recipe pretrain/k400-r3d_18 (Kinetics-400 would take about {days:.0f} days)"
    return "--model.backbone r3d_10_slim --model.input difference --data.size 48 --data.num_frames 8 on your own videos"
