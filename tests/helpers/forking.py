"""Runs commands on one or several ranks in forks of one process, which imports the program once.

Run as a script: `python -m helpers.forking LOG RUNS`, RUNS a JSON list of objects with `words` (a command line) and
`ranks`. Ends with an error where a run does. Several ranks find each other as torchrun's do.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import torch
from torch.distributed import TCPStore

from rspnet.cli import COMMANDS, main, resolve

_LONGEST_SECONDS = 120
_TO_NOTICE_SECONDS = 3
# What commands import as they go, seconds for every child. Not lancedb: it has threads, which a fork loses.
_IMPORTED_LATE = ("jsonargparse", "lightning_fabric", "pandas", "sklearn.linear_model")


def be_a_mother() -> None:
    """Prepare this process for forking: loader workers of all children come from one fork server, this one's."""
    torch.set_num_threads(1)
    forkserver.set_forkserver_preload(["rspnet.data.loader", "rspnet.data.labelled_clips"])
    forkserver.ensure_running()
    resource_tracker.ensure_running()
    setattr(forkserver._forkserver, "ensure_running", lambda: None)  # noqa: B010 - a method
    for name in ("pretrain", "finetune", "embed", "probe", "retrieve", "classify run"):
        for part in (COMMANDS[name].config, COMMANDS[name].task):
            resolve(part)
    for name in _IMPORTED_LATE:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)


def start(
    words: list[str], *, ranks: int, log: Path, before: Mapping[int, Callable[[], None]] | None = None
) -> list[int]:
    """Fork the ranks and wait for them; `before` is called in some. Returns how each ended (negative: which signal)."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) if ranks > 1 else None
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with log.open("a") as text:
                    os.dup2(text.fileno(), 1)
                    os.dup2(text.fileno(), 2)
                if store is not None:
                    os.environ |= as_torchrun(rank, ranks, store.port)
                if before is not None and rank in before:
                    before[rank]()
                code = main(words)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return _wait_for(children)


def as_torchrun(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The environment that torchrun gives to a rank on a single host."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "GROUP_RANK": 0}
    names = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return {name: str(value) for name, value in numbers.items()} | names | {"MASTER_PORT": str(port)}


def _wait_for(children: list[int]) -> list[int]:
    """How they ended; once one is lost, the others have a moment to notice and are then ended, too."""
    codes: dict[int, int] = {}
    deadline = time.monotonic() + _LONGEST_SECONDS
    while len(codes) < len(children):
        for child in set(children) - set(codes):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[child] = os.waitstatus_to_exitcode(status)
                if codes[child]:
                    deadline = min(deadline, time.monotonic() + _TO_NOTICE_SECONDS)
            elif time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return [codes[child] for child in children]


if __name__ == "__main__":
    be_a_mother()
    for run in json.loads(sys.argv[2]):
        codes = start(run["words"], ranks=run["ranks"], log=Path(sys.argv[1]))
        assert codes == [0] * run["ranks"], (run, codes, Path(sys.argv[1]).read_text())
