"""Choosing device, precision, threads and loader workers for this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

import torch

from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.processor import processor_flags

# Reading a sample of 320x240 takes about 20 ms of a core (docs/benchmarks.md), in which it does as many multiply-adds.
_WORK_OF_LOADING = 2_000_000_000


def pick_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device to use.

    Raises:
        ConfigError: CUDA was asked for and there is none, or no such device.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"unknown device {wanted!r}; choose one of auto, cpu, cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: no CUDA device is available; use cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def planned_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device that a plan is for: as `pick_device`, but CUDA may be of another machine."""
    return torch.device("cuda") if wanted == "cuda" else pick_device(wanted)


def pick_precision(wanted: str, device: torch.device) -> str:
    """ "bf16", "fp32" or "fp16"; "auto" is bf16 where the processor computes it natively.

    Raises:
        ConfigError: fp16 on a CPU, or no such precision.
    """
    if wanted not in ("auto", "bf16", "fp32", "fp16"):
        raise ConfigError(f"unknown precision {wanted!r}; choose one of auto, bf16, fp32, fp16")
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 needs CUDA: use bf16 or fp32")
    return wanted if wanted != "auto" else "bf16" if has_native_bf16(device) else "fp32"


def has_native_bf16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 run natively (elsewhere they are slower than float32)."""
    if device.type == "cuda" and not torch.cuda.is_available():
        return True  # a plan for another machine: every GPU from 2020 on has it
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return not processor_flags().isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


def only_same_bits() -> None:
    """From now on run only kernels that give the same bits every time; torch raises a RuntimeError for any other."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first matrix product is computed
    torch.use_deterministic_algorithms(True)
    # Filling memory that nothing has been written to only helps to find reads of it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def device_in_words(device: torch.device) -> str:
    """The device as a reader knows it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_in_words()


def cpu_in_words() -> str:
    """The processor, with the cores that this process may use."""
    return f"the CPU ({counted(available_cores(), 'core')})"


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pick_threads_and_workers(
    *, threads: int | None, workers: int | None, device: torch.device, processes: int, work: Callable[[], int]
) -> tuple[int, int]:
    """(CPU threads of training, loader workers) for each of `processes` processes on this machine.

    On a GPU the cores belong to the loaders, but one. On a CPU training and loading share them by the work that a clip
    is to both, by count and not by the clock: what is chosen, and with it every rounding, depends on the configuration
    and the number of cores alone. Loaders get a quarter at least, for videos may be larger than is reckoned here: one
    that has nothing to do costs nothing.

    Args:
        threads: as asked for, or None.
        workers: as asked for, or None.
        device: of the training.
        processes: on this machine.
        work: gives the multiply-adds that one clip of a step is to the training; asked only where it matters.
    """
    cores = max(1, available_cores() // processes)
    if device.type == "cuda":
        return threads or 1, max(1, cores - 1) if workers is None else workers
    if threads is None:
        of_training = work()
        threads = max(1, round(cores * of_training / (of_training + _WORK_OF_LOADING)))
    return threads, max(1, cores // 4, cores - threads) if workers is None else workers
