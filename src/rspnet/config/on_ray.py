"""Options of the commands that work on many videos, for doing so on many machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rspnet.config.rules import require
from rspnet.core.ray_jobs import RayCluster


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """Where the videos are worked on."""

    on: Literal["here", "ray"] = "here"
    """On this machine, or over a Ray cluster, whose machines need the program and the videos under the same names."""
    ray_address: str | None = None
    """With --on ray: of a running cluster; the default is what RAY_ADDRESS names, else one on this machine alone."""
    concurrency: int | None = None
    """With --on ray: processes that take videos, at most; the default is as many as the cluster has room for."""

    def require_ray(self) -> None:
        """Raise `ConfigError` where an option is out of range, or set without a cluster."""
        concurrency = self.concurrency
        require(concurrency is None or concurrency >= 1, f"--concurrency {concurrency}: must be at least 1")
        for name in ("ray_address", "concurrency"):
            value = getattr(self, name)
            require(self.on == "ray" or value is None, f"--{name} {value}: is for --on ray")

    def cluster(self) -> RayCluster | None:
        """Where work goes; None is this machine, without Ray."""
        return None if self.on == "here" else RayCluster(self.ray_address, self.concurrency)


@dataclass(frozen=True, kw_only=True)
class RayViewConfig(RayConfig):
    """The same where each process holds a network."""

    num_workers: int | None = None
    """Processes that read videos; by default the cores that the network does not need (--on ray: 1 a process)."""
    num_gpus: float = 0.0
    """With --on ray: graphics processors of each process, 0.5 for two processes to one; 0 computes on the CPU."""

    def require_ray(self) -> None:
        """Raise `ConfigError` where an option is out of range, or set without a cluster."""
        super().require_ray()
        require(self.num_gpus >= 0, f"--num_gpus {self.num_gpus}: must not be negative")
        require(self.on == "ray" or not self.num_gpus, f"--num_gpus {self.num_gpus}: is for --on ray")

    def cluster(self) -> RayCluster | None:
        """Where videos are embedded; None is this machine, without Ray. The network and one reader share a core."""
        if self.on == "here":
            return None
        return RayCluster(self.ray_address, self.concurrency, max(1, self.num_workers or 1), self.num_gpus)
