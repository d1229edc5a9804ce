"""Nodes of a Ray cluster on this machine, in a process of their own, for Ray leaves files and processes unclosed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any


class RayNodes:
    """A head that takes no work, and nodes of one core each.

    Attributes:
        address: of the cluster.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._answer()

    def kill(self, which: str) -> None:
        """End the "head", or a "node", as a power cut does."""
        _file(self._process.stdin).write(which + "\n")
        _file(self._process.stdin).flush()
        self._answer()

    def _answer(self) -> str:
        for line in _file(self._process.stdout):
            if line.startswith("nodes: "):
                return line.removeprefix("nodes: ").strip()
        raise AssertionError("the cluster has ended")


def _file(found: IO[str] | None) -> IO[str]:
    assert found is not None
    return found


@contextmanager
def ray_nodes(count: int) -> Iterator[RayNodes]:
    """A cluster with that many nodes beside the head."""
    words = [sys.executable, "-W", "ignore", __file__, str(count)]
    quiet: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    here = str(Path(__file__).parents[1])
    patient = os.environ | {"RAY_raylet_start_wait_time_s": "300", "PYTHONPATH": here}  # what tests plant is in helpers
    with subprocess.Popen(words, env=patient, text=True, **quiet) as process:
        yield RayNodes(process)
        _file(process.stdin).close()


def agents() -> dict[str, int]:
    """Free ports for the agents of a node.

    A node whose agents choose their ports waits 15 seconds for them, and then aborts (ray-project/ray, issue 65983): on
    a busy machine they need longer.
    """
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}


def main(count: int) -> None:
    """Do what lines of the standard input say, until it ends."""
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small, **agents()})
    nodes = [cluster.add_node(num_cpus=1, **small, **agents()) for _ in range(count)]
    print(f"nodes: {cluster.address}", flush=True)
    for line in sys.stdin:
        node = cluster.head_node if line.strip() == "head" else nodes.pop()
        cluster.remove_node(node, allow_graceful=False)
        print("nodes: done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
