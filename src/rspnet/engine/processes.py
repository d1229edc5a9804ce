"""Which processes a run has, and how they share the cores; what starts them is in `launch`.

Lightning Fabric, which `launch` needs, loads `torch._dynamo` and takes as long to import as torch itself. This module
does not import it, so that embedding and searching start in half the time.
"""

from __future__ import annotations

import os

import torch
from torch import nn

from rspnet.core.ranks import launched_from_outside
from rspnet.engine.multiply_adds import multiply_adds
from rspnet.engine.runtime import pick_threads_and_workers

_UNKNOWN_WORK = 10**15
"""Multiply-adds of a clip where nobody knows: far more than reading it costs."""


def processes(*, devices: int, num_nodes: int) -> tuple[int, int]:
    """(processes on this machine, machines): what torchrun or SLURM started, else what the options ask for."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    if launched_from_outside():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return devices, num_nodes


def share_cores(
    network: nn.Module | None, clip_shape: tuple[int, int, int, int], *, device: torch.device, workers: int | None
) -> int:
    """Divide this process's cores between a network that only encodes and the readers of videos.

    The rule is that of pre-training, `pick_threads_and_workers`. Sets torch's threads and returns how many processes
    are to read.

    Args:
        network: what encodes; None for one whose work is not known: then it gets all cores, and readers a quarter more.
        clip_shape: of a clip, [C, T, H, W].
        device: where.
        workers: processes asked for, or None for the rest of the cores.
    """
    threads, readers = pick_threads_and_workers(
        threads=None,
        workers=workers,
        device=device,
        processes=processes(devices=1, num_nodes=1)[0],
        work=lambda: _UNKNOWN_WORK if network is None else multiply_adds(network, clip_shape),
    )
    torch.set_num_threads(threads)
    return readers


def join_ranks(device: torch.device) -> None:
    """Under torchrun or SLURM become one rank of a command that shares out its videos; otherwise do nothing.

    Afterwards "cuda" is this rank's own GPU.
    """
    if launched_from_outside():
        from rspnet.engine.launch import make_fabric  # takes seconds to load

        make_fabric(device=device, precision="fp32", devices=1, num_nodes=1)
