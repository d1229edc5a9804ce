"""Options of the small commands: demo, recipes, bench."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rspnet.config.base import BackboneName, positional, require


@dataclass(frozen=True)
class DemoConfig:
    """Make videos, pre-train on them, and show what was learned; a few minutes on two cores.

    Example: rspnet demo --out demo-run
    """

    out: str = "demo-run"
    """Run folder: videos, checkpoint, contact sheet and result.json go there."""
    steps: int = 400
    """Training steps."""
    num_videos: int = 400
    """Procedural videos to write."""
    seed: int = 0
    """Seed of the videos and of the training."""

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"--steps {self.steps}: must be at least 1")
        require(self.num_videos >= 64, f"--num_videos {self.num_videos}: must be at least 64")


@dataclass(frozen=True)
class RecipesConfig:
    """List the recipes, or print one.

    Example: rspnet recipes pretrain/k400-r3d_18
    """

    name: str | None = positional("Recipe to print; all are listed without it.", nargs="?", default=None)


@dataclass(frozen=True)
class BenchConfig:
    """Measure the plain route and ours side by side on this machine.

    Example: rspnet bench step --backbone s3dg
    """

    name: Literal["step", "data", "search", "scaling", "checkpoint"] = positional(
        "step: a whole pre-training step; data: video file to augmented clips; search: a library of 200,000 clips; "
        "scaling: steps on one process, virtual and real ranks; checkpoint: what writing one costs a training."
    )
    backbone: BackboneName = "r3d_18"
    """Network of the step, scaling and checkpoint benches."""
    batch_size: int = 4
    """Clips of a step in these benches."""
    repeats: int = 5
    """Measurements of each; the median counts."""
    threads: int = 1
    """CPU threads of the step and checkpoint benches."""
    videos: list[str] = field(default_factory=list)
    """Videos for the data bench; it makes four kinds itself without them."""
    out: str | None = None
    """Run folder for config.yaml and result.json; only printed without it."""
