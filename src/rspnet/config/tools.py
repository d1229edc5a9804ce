"""Options of the small commands: demo, recipes and its plan, bench."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rspnet.config.rules import positional, require, require_backbone


@dataclass(frozen=True)
class DemoConfig:
    """Make videos, pre-train on them, and show what was learned; a few minutes on two cores.

    Example: rspnet demo --out demo-run
    """

    out: str = "demo-run"
    """Run folder: videos, checkpoint, contact sheet and result.json go there."""
    max_steps: int = 140
    """Training steps."""
    num_videos: int = 320
    """Videos to draw, a quarter of them held out."""
    seed: int = 0
    """Seed of the videos and of the training."""

    def __post_init__(self) -> None:
        require(self.max_steps >= 1, f"--max_steps {self.max_steps}: must be at least 1")
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

    name: Literal["step", "data", "train", "embed", "memory", "search", "scaling", "checkpoint", "growth", "waits"] = (
        positional(
            "step: a whole pre-training step; data: video file to augmented clips; train: files to updated weights; "
            "embed: video files to features; memory: of training and loader; search: a large library, also for eight "
            "clients at once; scaling: steps on one process, virtual and real ranks; checkpoint: what writing one "
            "costs a training; growth: what steps cost by the number of videos, exit code 1 where one grows faster "
            "than that number; waits: index, embed and search as whole processes against decoding alone."
        )
    )
    backbone: str = "r3d_18"
    """Network of all benches but data and search (the names: see pretrain --help)."""
    batch_size: int = 4
    """Clips of a step."""
    repeats: int = 5
    """Measurements of the benches step and data, of which the median counts; steps of the bench train."""
    threads: int = 1
    """CPU threads; with one the CPU time counts, with more the clock."""
    num_workers: int = 0
    """Loader processes of the bench train; with any the clock counts."""
    videos: list[str] = field(default_factory=list)
    """Videos for the benches data and embed, which make four kinds themselves without them; a folder for train."""
    short_videos: int = 16
    """Videos of the bench waits, which makes them itself."""
    loader_videos: int = 10_000
    """Videos that the bench memory reads; growth counts after 1,000, and up to that nothing is read."""
    library_clips: int = 200_000
    """Clips of the library of the bench search."""
    growth_videos: list[int] = field(default_factory=lambda: [1000, 10_000, 100_000, 1_000_000])
    """Numbers of videos of the bench growth, two or more; 1,000,000 needs about 10 GB of disk."""
    out: str | None = None
    """Run folder for config.yaml and result.json; only printed without it."""

    def __post_init__(self) -> None:
        require_backbone(self.backbone, option="backbone")
        require(self.name != "train" or len(self.videos) == 1, "bench train needs --videos FOLDER, one folder")
        require(self.short_videos >= 2, f"--short_videos {self.short_videos}: must be at least 2")
        for name in ("repeats", "threads"):
            require(getattr(self, name) >= 1, f"--{name} {getattr(self, name)}: must be at least 1")
        require(self.library_clips >= 4000, f"--library_clips {self.library_clips}: must be at least 4000")
        require(self.batch_size >= 2, f"--batch_size {self.batch_size}: must be at least 2, batch norm needs two")
        sizes = set(self.growth_videos)
        enough = len(sizes) >= 2 and min(sizes) >= 100
        require(enough, f"--growth_videos {self.growth_videos}: must be two numbers or more, of at least 100")
        require(self.num_workers >= 0, f"--num_workers {self.num_workers}: must not be negative")


@dataclass(frozen=True)
class PlanConfig:
    """Print the whole chain of commands that repeats a cell of the published table, with the hours it takes.

    Times are computed of speeds that you measured (`--pretrain_speed`, `--finetune_speed`); without them those that
    were published are named.

    Example: rspnet recipes plan ucf101-r3d_18 --pretrain_speed 900 --out slurm
    """

    cell: str | None = positional(
        "Data set and network, such as ucf101-r3d_18; all are listed without it.", nargs="?", default=None
    )
    dataset: str = positional("Folder of the data set that is fine-tuned on.", nargs="?", default="DATASET")
    videos: str = positional("Folder of the training videos of Kinetics-400.", nargs="?", default="K400/train")
    epochs: int | None = None
    """Epochs of pre-training, of those published (S3D-G: 200 or 1000)."""
    gpus: int | None = None
    """GPUs of each training; the default is the published number (of a fine-tuning 4)."""
    pretrain_speed: float | None = None
    """Clips a second of your pre-training on these GPUs together, as `rspnet pretrain` shows it."""
    finetune_speed: float | None = None
    """Clips a second of your fine-tuning, likewise."""
    runs: str = "runs"
    """Folder of the run folders."""
    out: str | None = None
    """Folder for scripts of SLURM, pretrain.sbatch and finetune.sbatch; only printed without it."""

    def __post_init__(self) -> None:
        require(self.gpus is None or self.gpus >= 1, f"--gpus {self.gpus}: must be at least 1")
        for name in ("pretrain_speed", "finetune_speed"):
            value = getattr(self, name)
            require(value is None or value > 0, f"--{name} {value}: must be above 0")
