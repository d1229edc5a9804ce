"""Nodes of a Ray cluster on this machine, in a process of their own, for Ray leaves files and processes unclosed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    patient = os.environ | {"RAY_raylet_start_wait_time_s": "300"}
    with subprocess.Popen(words, env=patient, text=True, **quiet) as process:
        yield RayNodes(process)
        _file(process.stdin).close()


def main(count: int) -> None:
    """Do what lines of the standard input say, until it ends."""
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(count)]
    print(f"nodes: {cluster.address}", flush=True)
    for line in sys.stdin:
        node = cluster.head_node if line.strip() == "head" else nodes.pop()
        cluster.remove_node(node, allow_graceful=False)
        print("nodes: done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
