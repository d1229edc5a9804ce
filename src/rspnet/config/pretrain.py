"""Options of `rspnet pretrain`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rspnet.config.rules import METHOD, Device, Precision, require
from rspnet.data.clip_tasks import Speeds
from rspnet.pretext.method import PretextMethod
from rspnet.pretext.rspnet import RSPNetMethod


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
    """Resample every video by time to this rate first; needed where rates vary within or between files."""
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
    max_skipped: float = 0.05
    """Largest share of videos that may be left out (undecodable, too short) before the run ends with exit code 3."""

    @property
    def played(self) -> Speeds:
        """The slow and the fast speeds."""
        return Speeds(self.speeds, self.base_speed)

    def __post_init__(self) -> None:
        require(
            bool(self.root) or bool(self.list), "--data.root or --data.list is required: a folder or a list of videos"
        )
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
        require(0 <= self.max_skipped <= 1, f"--data.max_skipped {self.max_skipped}: a share, 0 to 1")


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and learning-rate schedule."""

    name: Literal["sgd", "adamw"] = "sgd"
    """SGD is published."""
    lr: float = 0.1
    """Learning rate for 64 clips a step (see `scale_lr`)."""
    scale_lr: bool = True
    """Multiply `lr` by batch_size / 64, as published for pre-training."""
    momentum: float = 0.9
    """Momentum of SGD; first beta of AdamW."""
    weight_decay: float = 1e-4
    """Weight decay of all parameters."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Cosine ends at lr / 1000; step divides by 10 at each milestone."""
    schedule_unit: Literal["epoch", "step"] = "epoch"
    """Whether the rate changes once an epoch (published) or every step."""
    milestones: tuple[float, ...] = ()
    """Epochs (fractions allowed) at which the step schedule divides by 10."""
    warmup_steps: int = 0
    """Steps of linear warm-up from 0 (none in the published recipe)."""
    clip_grad_norm: float | None = None
    """Largest gradient norm; longer gradients are scaled down."""

    def __post_init__(self) -> None:
        require(self.lr > 0, f"--optim.lr {self.lr}: must be above 0")
        require(0 <= self.momentum < 1, f"--optim.momentum {self.momentum}: must be in 0..1")
        require(self.weight_decay >= 0, f"--optim.weight_decay {self.weight_decay}: must not be negative")
        require(self.warmup_steps >= 0, f"--optim.warmup_steps {self.warmup_steps}: must not be negative")
        milestones_fit = (self.schedule == "step") == bool(self.milestones)
        require(milestones_fit, "--optim.milestones belong to --optim.schedule step, which needs them")
        clip = self.clip_grad_norm
        require(clip is None or clip > 0, f"--optim.clip_grad_norm {clip}: must be above 0")


@dataclass(frozen=True)
class EngineConfig:
    """Machine, precision, checkpoints and logs."""

    device: Device = "auto"
    """Where to train."""
    devices: int = 1
    """Processes on this machine (one per GPU); under torchrun it is taken from there."""
    num_nodes: int = 1
    """Machines that train together."""
    precision: Precision = "auto"
    """bf16 autocast where the processor has it (auto), or fp32, or fp16 with loss scaling (CUDA only)."""
    channels_last: bool = True
    """Keep clips and weights in channels_last_3d layout (faster)."""
    compile: bool = False
    """Compile the encoders with torch.compile (needs a C++ compiler; first step of minutes; slower on our CPUs)."""
    cudnn_benchmark: bool = False
    """With CUDA: let cudnn time its algorithms and take the fastest. Resuming then no longer gives the same bits."""
    activation_checkpointing: bool = False
    """Keep less for the backward pass and compute it again there: less memory, more time, the same results."""
    threads: int | None = None
    """CPU threads of the training process; the default is its share of the cores by the work of a clip."""
    checkpoint_every: int | None = None
    """Steps between checkpoints in addition to the one after every epoch."""
    keep: int = 1
    """Numbered checkpoints of earlier epochs that are kept besides `last`; --resume falls back on them."""
    log_every: int = 10
    """Steps between log lines."""
    bad_steps: int = 3
    """Steps in a row whose loss is not finite, or ten times the highest of the first hundred, that end the run."""
    loggers: tuple[Literal["csv", "tensorboard", "wandb"], ...] = ("csv", "tensorboard")
    """Where curves are written; wandb is the extra `rspnet[wandb]`."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "log_every", "bad_steps"):
            require(getattr(self, name) >= 1, f"--engine.{name} {getattr(self, name)}: must be at least 1")
        require(
            not (self.compile and self.activation_checkpointing),
            "--engine.compile and --engine.activation_checkpointing do not go together: choose one",
        )
        require(self.keep >= 0, f"--engine.keep {self.keep}: must not be negative")
        for name in ("threads", "checkpoint_every"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"--engine.{name} {value}: must be at least 1")
        require(
            self.precision != "fp16" or self.device != "cpu", "--engine.precision fp16 needs CUDA: use bf16 or fp32"
        )


@dataclass(frozen=True)
class PretrainConfig:
    """Learn a video network from unlabelled videos by RSP and A-VID.

    Example: rspnet pretrain --recipe pretrain/small-cpu --data.root my_videos --out runs/first
    """

    data: PairDataConfig
    out: str
    """Run folder: checkpoints, logs, config.yaml, skipped.csv and result.json go there."""
    model: PretextMethod = field(default=RSPNetMethod(), metadata=METHOD)
    optim: OptimConfig = OptimConfig()
    engine: EngineConfig = EngineConfig()
    epochs: int = 200
    """Passes over the videos."""
    max_steps: int | None = None
    """End after this many steps instead (the schedule then spans them)."""
    seed: int = 0
    """Every random draw derives from it."""
    resume: bool = False
    """Go on exactly where the last checkpoint in `out` ends; starts from step 0 where there is none."""
    dry_run: bool = False
    """Print the resolved plan (videos, steps, learning rate, memory estimate) and stop."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"--epochs {self.epochs}: must be at least 1")
        require(self.max_steps is None or self.max_steps >= 1, f"--max_steps {self.max_steps}: must be at least 1")
        groups = self.model.virtual_ranks * self.engine.devices * self.engine.num_nodes
        size = self.data.batch_size
        require(size % groups == 0, f"--data.batch_size {size}: must divide by ranks x virtual ranks = {groups}")
        require(
            size // groups >= 2,
            f"--data.batch_size {size}: leaves {size // groups} clips for each of {groups} ranks; batch norm needs 2",
        )
