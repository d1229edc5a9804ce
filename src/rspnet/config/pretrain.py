"""Options of `rspnet pretrain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from rspnet.config.rules import DEFAULT_OUT, METHOD, ByPlace, named_out, require
from rspnet.config.training import EngineConfig, OptimConfig
from rspnet.core.counts import counted
from rspnet.core.files import is_list
from rspnet.data.clip_tasks import Speeds
from rspnet.pretext.method import PretextMethod
from rspnet.pretext.rspnet_method import RSPNetMethod


@dataclass(frozen=True)
class PairDataConfig:
    """Which videos are read, and how query and key clips are cut from them."""

    root: str | None = None
    """Folder of videos, searched recursively; any container FFmpeg reads."""
    list: str | None = None
    """CSV or text file that lists videos (paths relative to `root`, or to the file's own folder)."""
    num_frames: int = 16
    """Frames of one clip, T."""
    size: int = 112
    """Height and width of a clip in pixels."""
    speeds: tuple[int, ...] = (2,)
    """Fast speeds; one is drawn per batch and set against the base speed. The window holds T times the largest."""
    base_speed: int = 1
    """The slow speed; 1 is the paper's. With 2, and 4 as fast speed, clips span twice as much of a video's time."""
    fps: float | None = None
    """Resample every video by time to this rate first; needed where rates vary within or between files. The default is
    that of --weights, or native frames."""
    augmentation: Literal["published", "aug_plus"] = "published"
    """Preset of crop, colour jitter, grayscale, flip and blur."""
    noise_std: float = 0.0
    """Fresh Gaussian noise on every frame, as a share of the 0..1 range; closes the codec shortcut of RSP."""
    batch_size: int = 64
    """Clips (videos) in one step over all ranks together."""
    clips_per_video: int = 1
    """How often one epoch visits each video."""
    num_workers: int | None = None
    """Loader processes per rank; the default is the cores that the training threads leave, at least a quarter."""
    held_out: int = 0
    """Videos that are not trained on but judge the run at its end; which ones, their names and the seed say."""
    max_skipped: float = 0.05
    """Largest share of videos that may be skipped (undecodable, too short) before the run ends with exit code 3; 0.2
    where the settings are chosen for fewer than 1,000 videos."""

    @property
    def played(self) -> Speeds:
        """The slow and the fast speeds."""
        return Speeds(self.speeds, self.base_speed)

    def __post_init__(self) -> None:
        require(bool(self.root) or bool(self.list), "name a folder or a list of videos: rspnet pretrain VIDEOS")
        require(self.num_frames >= 2, f"--data.num_frames {self.num_frames}: a clip needs at least 2 frames")
        require(self.size >= 16, f"--data.size {self.size}: must be at least 16 pixels")
        require(bool(self.speeds), "--data.speeds is empty: name at least one fast speed")
        require(self.base_speed >= 1, f"--data.base_speed {self.base_speed}: must be at least 1")
        require(
            min(self.speeds) > self.base_speed,
            f"--data.speeds {list(self.speeds)}: each must be above --data.base_speed {self.base_speed}",
        )
        require(self.fps is None or self.fps > 0, f"--data.fps {self.fps}: must be above 0")
        require(0 <= self.noise_std < 1, f"--data.noise_std {self.noise_std}: must be in 0..1")
        require(self.batch_size >= 2, f"--data.batch_size {self.batch_size}: must be at least 2")
        require(self.clips_per_video >= 1, f"--data.clips_per_video {self.clips_per_video}: must be at least 1")
        require(self.num_workers is None or self.num_workers >= 0, f"--data.num_workers {self.num_workers}: below 0")
        require(self.held_out >= 0, f"--data.held_out {self.held_out}: must not be negative")
        require(0 <= self.max_skipped <= 1, f"--data.max_skipped {self.max_skipped}: a share, 0 to 1")


def all_data_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `--data` as a recipe writes them: those given, and the defaults of the others."""
    defaults = {option.name: option.default for option in fields(PairDataConfig)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()} | dict(given)


@dataclass(frozen=True)
class PretrainConfig:
    """Learn a video network from unlabelled videos by RSP and A-VID.

    Example: rspnet pretrain my_videos

    Without a recipe and without options of what is learned (from --max_steps alone the rest is still chosen) these are
    chosen by the number and length of the videos and by the machine, and printed. Another example:

    rspnet pretrain my_videos --recipe pretrain/small-cpu --model.queue_size 64 --out runs/first
    """

    BY_PLACE: ClassVar[ByPlace] = ByPlace(
        "videos",
        "Folder of videos, searched recursively, or a list of them (.csv, .txt): as --data.root or --data.list.",
        lambda videos: "data.list" if is_list(videos) else "data.root",
    )

    UNDECIDED: ClassVar[tuple[str, ...]] = (
        "data.root", "data.list", "data.num_workers", "data.max_skipped", "weights", "out", "engine", "seed",
        "resume", "dry_run", "max_steps", "epochs", "data.held_out",
    )  # fmt: skip
    """Options and sections that say nothing of what is learned and how: with these alone the rest is chosen."""

    data: PairDataConfig
    out: str = DEFAULT_OUT.format("pretrain")
    """Run folder: checkpoints, logs, config.yaml, skipped.csv and result.json go there. NAME is that of the videos."""
    weights: str | None = None
    """Weights to start from, whose network and clips are taken over: checkpoint, run folder, export, published file, or
    the name of weights that come with the package; random ones without it."""
    model: PretextMethod = field(default=RSPNetMethod(), metadata=METHOD)
    optim: OptimConfig = field(default_factory=OptimConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    epochs: int = 200
    """Passes over the videos."""
    max_steps: int | None = None
    """End after this many steps instead (the schedule then spans them)."""
    seed: int = 0
    """Every random draw derives from it."""
    resume: bool = False
    """Go on exactly where the last checkpoint in `out` ends; starts from step 0 where there is none."""
    dry_run: bool = False
    """Print the plan, its warnings, and what it will take in memory, disk and time (a few steps are tried), and stop.
    Works for hardware that is not here, too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", named_out(self.out, "pretrain", self.data.list or self.data.root))
        require(self.epochs >= 1, f"--epochs {self.epochs}: must be at least 1")
        require(self.max_steps is None or self.max_steps >= 1, f"--max_steps {self.max_steps}: must be at least 1")
        groups = self.model.virtual_ranks * self.engine.devices * self.engine.num_nodes
        size = self.data.batch_size
        require(size % groups == 0, f"--data.batch_size {size}: must divide by ranks x virtual ranks = {groups}")
        require(
            size // groups >= 2,
            f"--data.batch_size {size}: leaves {counted(size // groups, 'clip')} for each of "
            f"{counted(groups, 'rank')}; batch norm needs 2",
        )
