"""Choosing device, precision, threads and loader workers for this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch

from rspnet.core.errors import ConfigError


def pick_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device to use.

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: no CUDA device is available; use cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def pick_precision(wanted: str, device: torch.device) -> str:
    """ "bf16", "fp32" or "fp16"; "auto" is bf16 where the processor computes it natively.

    Raises:
        ConfigError: fp16 on a CPU.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 needs CUDA: use bf16 or fp32")
    return wanted if wanted != "auto" else "bf16" if has_native_bf16(device) else "fp32"


def has_native_bf16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 run natively (elsewhere they are slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags or " bf16 " in flags


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pick_threads_and_workers(
    *, threads: int | None, workers: int | None, device: torch.device, processes: int
) -> tuple[int, int]:
    """(CPU threads of training, loader workers) for each of `processes` processes on this machine.

    On a GPU the cores belong to the loaders, but one. On a CPU training is the bottleneck: it gets all cores and the
    loaders, a small share of the work, compete for them.
    """
    cores = max(1, available_cores() // processes)
    if device.type == "cuda":
        return threads or 1, max(1, cores - 1) if workers is None else workers
    return threads or cores, max(1, cores // 4) if workers is None else workers
