"""Runs commands on one or several ranks in forks of a process that has imported the program: a mother.

`Mother` starts it (`python -m helpers.forking`). It reads a call a line: a function, "module:name", and its arguments;
it answers with what the function returned. Several ranks find each other as torchrun's do.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import IO, Any

import helpers.narrow  # noqa: F401 - registers a backbone
import torch
from torch.distributed import TCPStore

from rspnet.cli import COMMANDS, main, resolve

_NEW_NETWORK = 0x4000_0000
_ANSWER = "answer: "
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
    for place in (forkserver._forkserver, forkserver):  # it is no child of the children
        setattr(place, "ensure_running", lambda: None)  # noqa: B010 - methods
    for name in ("pretrain", "finetune", "embed", "probe", "retrieve", "classify run"):
        for part in (COMMANDS[name].config, COMMANDS[name].task):
            resolve(part)
    for name in _IMPORTED_LATE:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    gc.freeze()  # children share these pages, and look for garbage among their own


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
    """The environment that torchrun gives to a rank on a single host, whose agent holds the store."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "GROUP_RANK": 0}
    names = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return {name: str(value) for name, value in numbers.items()} | names | {"MASTER_PORT": str(port)}


def run_on_hosts(words: list[str], hosts: list[tuple[str, str, str]], log: str) -> None:
    """Run a command on one rank in each network namespace (name, interface, address), as torchrun does on hosts."""
    ranks = len(hosts)
    before = {rank: partial(_on_host, rank, hosts) for rank in range(ranks)}
    codes = start(words, ranks=ranks, log=Path(log), before=before)
    assert codes == [0] * ranks, (words, codes, Path(log).read_text())


def _on_host(rank: int, hosts: list[tuple[str, str, str]]) -> None:
    """In a child: be the only rank of a host; rank 0 holds the store at which they meet."""
    name, interface, _ = hosts[rank]
    with Path("/run/netns", name).open() as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"setns {name}")
    del os.environ["TORCHELASTIC_USE_AGENT_STORE"]
    os.environ |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "GROUP_RANK": str(rank), "GLOO_SOCKET_IFNAME": interface}
    os.environ |= {"MASTER_ADDR": hosts[0][2], "MASTER_PORT": "29411"}


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


class Mother:
    """The test's end of a mother."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._calls: IO[str] = process.stdin
        self._answers: IO[str] = process.stdout

    def call(self, function: str, *arguments: Any) -> Any:
        """What a function, "module:name", makes of arguments that JSON can hold."""
        self._calls.write(json.dumps([function, *arguments]) + "\n")
        self._calls.flush()
        for line in self._answers:
            if line.startswith(_ANSWER):
                answer = json.loads(line.removeprefix(_ANSWER))
                assert "error" not in answer, answer["error"]
                return answer["value"]
        raise AssertionError("the mother has ended")

    def run(self, words: list[str], *, ranks: int, log: Path) -> None:
        """Run a command, which must succeed, on ranks that write what they say to `log`."""
        self.call("helpers.forking:run", words, ranks, str(log))


@contextmanager
def started_mother() -> Iterator[Mother]:
    """A mother, until the block is left."""
    paths = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-m", "helpers.forking"], env=environment, text=True, **pipes) as process:
        yield Mother(process)
        assert process.stdin is not None
        process.stdin.close()


def run(words: list[str], ranks: int, log: str) -> None:
    """See `Mother.run`."""
    codes = start(words, ranks=ranks, log=Path(log))
    assert codes == [0] * ranks, (words, codes, Path(log).read_text())


def _serve() -> None:
    be_a_mother()
    for line in sys.stdin:
        function, *arguments = json.loads(line)
        module, _, name = function.partition(":")
        answer: dict[str, Any]
        try:
            answer = {"value": getattr(importlib.import_module(module), name)(*arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(_ANSWER + json.dumps(answer), flush=True)


if __name__ == "__main__":
    # Under its own name, too: functions that are called by name must not import this file once more.
    sys.modules["helpers.forking"] = sys.modules["__main__"]
    _serve()
