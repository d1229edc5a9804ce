"""Starting the processes of a run, or joining those that torchrun or SLURM started (loads Fabric, see `processes`)."""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.launchers.subprocess_script import _ChildProcessObserver, _SubprocessScriptLauncher
from torch.distributed import PrefixStore, TCPStore
from torch.distributed.rendezvous import rendezvous

from rspnet.core.leaving import leave_in_order
from rspnet.core.ranks import launched_from_outside
from rspnet.engine.processes import processes

_FABRIC_PRECISION = {"bf16": "bf16-mixed", "fp32": "32-true", "fp16": "16-mixed"}
_BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""What ranks talk by. On GPUs, too, the hosts have a way of their own: their agreements do not wait for the GPUs."""
_IN_GOOD_ORDER = (None, 0, 2, 3, 4, 5, 130)
"""Still running, or the exit codes of `rspnet`: the other ranks know and end by themselves."""
_GRACE_SECONDS = 15.0


def make_fabric(*, device: torch.device, precision: str, devices: int, num_nodes: int) -> Fabric:
    """Launch the processes, or join those there are, and return this one's Fabric.

    Batch-norm statistics are averaged by the method itself every step (see `pretext.statistics`), so DDP need not
    broadcast buffers.
    """
    devices, num_nodes = processes(devices=devices, num_nodes=num_nodes)
    several = devices * num_nodes > 1 or launched_from_outside()
    backend = _BACKENDS[device.type]
    strategy: Any = _Strategy(broadcast_buffers=False, process_group_backend=backend) if several else "auto"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # torch 2.13 has a new name for it, which 2.6 does not know.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
    fabric = Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=_FABRIC_PRECISION[precision],  # type: ignore[arg-type]
    )
    if "TORCHELASTIC_RUN_ID" in os.environ and num_nodes == 1:
        _meet_at_this_attempt(backend)
    fabric.launch()
    if several:
        leave_in_order()
    return fabric


def _meet_at_this_attempt(backend: str) -> None:
    """Join the other ranks of torchrun's present attempt; Fabric then finds the process group there.

    torchrun keeps one store over its restarts and torch (2.13) no longer distinguishes the attempts in it: a restarted
    rank may read the address of a process that is gone. On several machines the attempts are counted apart, so there
    only torchrun itself can help (TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1, see docs/resume-and-clusters.md).
    """
    if not dist.is_initialized():
        store, rank, size = next(iter(rendezvous("env://")))
        attempt = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group(backend, store=attempt, rank=rank, world_size=size)


class _Strategy(DDPStrategy):
    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)


class _Launcher(_SubprocessScriptLauncher):
    """Fabric's launcher with three changes. It stands on private classes: pyproject.toml bounds Fabric's version.

    The ranks meet at a port that this process holds from the start (Fabric looks for a free one and hopes that it still
    is when it is used). A rank that ends in good order, because all of them do, does not have the others killed. And
    this process does not end before its children.
    """

    def launch(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            if self.num_nodes == 1 and "MASTER_PORT" not in os.environ:
                self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
                os.environ["MASTER_PORT"] = str(self._store.port)
                os.environ["TORCHELASTIC_USE_AGENT_STORE"] = str(True)  # torch: connect to it, start no other one
            self._call_children_scripts()
            _Observer(main_pid=os.getpid(), child_processes=self.procs, sleep_period=1).start()
            atexit.register(_wait_for, self.procs)
        return function(*args, **kwargs)


class _Observer(_ChildProcessObserver):
    """Ends all ranks where one was killed: the others could wait for it for ever."""

    def _run(self) -> bool:
        codes = [process.poll() for process in self._child_processes]
        lost = [rank for rank, code in enumerate(codes, start=1) if code not in _IN_GOOD_ORDER]
        if lost:
            print(f"rspnet: error: rank {lost[0]} ended with {codes[lost[0] - 1]}; ending all ranks", file=sys.stderr)
            self._terminate_all()
        return bool(lost) or None not in codes


def _wait_for(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
