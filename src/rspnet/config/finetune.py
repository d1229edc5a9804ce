"""Options of `rspnet finetune`, `evaluate` and `predict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from rspnet.config.labelled import DATASET, LabelledDataConfig
from rspnet.config.rules import (
    DEFAULT_OUT,
    ByPlace,
    Device,
    Precision,
    named_out,
    positional,
    require,
    require_backbone,
    require_clips,
)
from rspnet.config.training import EngineConfig, OptimConfig
from rspnet.core.counts import counted


@dataclass(frozen=True)
class LabelledClipsConfig:
    """How clips are cut from the videos, in training and in testing."""

    num_frames: int = 16
    """Frames of one clip, T."""
    stride: int = 1
    """Frames from one frame of a clip to the next."""
    fps: float | None = None
    """Read the videos at this rate by time; the default is that of the weights, or native frames."""
    spread: bool = False
    """Take the frames from all over the video instead of a window (Something-Something V2)."""
    size: int = 112
    """Height and width of a clip in pixels."""
    flip: bool = True
    """Mirror half of the training clips; off where left and right matter."""
    batch_size: int | None = None
    """Clips in one step over all ranks together; the default is 32, or half of the training videos where these are
    fewer."""
    num_clips: int = 10
    """Evenly spaced clips of a test video; their scores are averaged."""
    num_crops: Literal[1, 3] = 1
    """Squares of each clip: the centre, or three along the longer side."""
    num_workers: int | None = None
    """Processes per rank that read videos."""
    max_skipped: float = 0.05
    """Largest share of training videos that may be skipped before the run ends with exit code 3."""

    def __post_init__(self) -> None:
        require_clips(self, prefix="--clips.")
        require(self.fps is None or self.fps > 0, f"--clips.fps {self.fps}: must be above 0")
        require(0 <= self.max_skipped <= 1, f"--clips.max_skipped {self.max_skipped}: a share, 0 to 1")


@dataclass(frozen=True)
class ClassifierConfig:
    """The network and how much of it learns."""

    backbone: str | None = None
    """Video network (the names: see pretrain --help); the default is that of the weights. Without --weights it starts
    from fresh weights."""
    input: Literal["rgb", "difference", "scaled_difference", "both", "moving"] | None = None
    """What it sees (see pretrain --model.input); the default is that of the weights, or rgb."""
    dropout: float | None = None
    """Share of pooled features dropped in training; the default is what is published (S3D-G 0.5, others 0)."""
    freeze: int = 0
    """Stages, from the input, that are not trained; of a network with two streams those of both."""

    def __post_init__(self) -> None:
        require_backbone(self.backbone, option="model.backbone")
        require(self.dropout is None or 0 <= self.dropout < 1, f"--model.dropout {self.dropout}: must be in 0..1")
        require(self.freeze >= 0, f"--model.freeze {self.freeze}: must not be negative")


@dataclass(frozen=True)
class FinetuneConfig:
    """Train a video classifier on labelled videos, from pre-trained or fresh weights, and test it.

    Examples: rspnet finetune my_actions --data.kind folders
              rspnet finetune UCF101 --recipe finetune/ucf101-r3d_18 --weights runs/first --out runs/ucf
    """

    BY_PLACE: ClassVar[ByPlace] = DATASET

    data: LabelledDataConfig
    weights: str | None = None
    """Weights to start from: checkpoint, run folder, export, published file, or the name of weights that come with the
    package (the default). Fresh ones where --model.backbone or a recipe names a network and this names no weights."""
    out: str = DEFAULT_OUT.format("finetune")
    """Run folder: checkpoints, logs, config.yaml, result.json, predictions and confusion.png go there. NAME is that of
    the data set's folder."""
    clips: LabelledClipsConfig = LabelledClipsConfig()
    model: ClassifierConfig = ClassifierConfig()
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(scale_lr=False))
    engine: EngineConfig = field(default_factory=EngineConfig)
    protocol: Literal["last", "validation", "official"] | None = None
    """Which epoch is reported: the last; the best on the validation split (the data's own, or one carved from
    training); or (official, as the public code, and labelled so in the result) the best on the test split itself. The
    default is validation where the data have such a split of their own, else last."""
    validation_share: float = 0.0
    """Share of every class's training videos that is carved off for an early look after each epoch."""
    validation_clips: int = 1
    """Clips of a video that is looked at after an epoch."""
    epochs: int = 30
    """Passes over the training videos."""
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
        object.__setattr__(self, "out", named_out(self.out, "finetune", self.data.list or self.data.root))
        require(self.epochs >= 1, f"--epochs {self.epochs}: must be at least 1")
        require(self.validation_clips >= 1, f"--validation_clips {self.validation_clips}: must be at least 1")
        require(self.max_steps is None or self.max_steps >= 1, f"--max_steps {self.max_steps}: must be at least 1")
        share = self.validation_share
        require(0 <= share < 1, f"--validation_share {share}: must be at least 0 and below 1")
        require(
            self.protocol != "official" or share == 0, "--protocol official has no validation split: drop the share"
        )
        ranks, batch = self.engine.devices * self.engine.num_nodes, self.clips.batch_size
        require(
            batch is None or (batch % ranks == 0 and batch // ranks >= 2),
            f"--clips.batch_size {batch}: must divide by {counted(ranks, 'rank')} and leave each 2 or more",
        )


@dataclass(frozen=True)
class EvaluateConfig:
    """Test a fine-tuned run again, as it was tested or under another view.

    Example: rspnet evaluate runs/ucf --num_crops 3 --out runs/ucf-3crops
    """

    weights: str = positional("Weights of rspnet finetune: its run folder, or a checkpoint in it.")
    out: str | None = None
    """Run folder of this evaluation; the default is `evaluate` in the folder of the weights."""
    root: str | None = None
    """Folder of the data set, where it has moved."""
    num_clips: int | None = None
    """Evenly spaced clips of a video; the default is the run's."""
    num_crops: Literal[1, 3] | None = None
    """Squares of each clip; the default is the run's."""
    num_workers: int | None = None
    """Processes that read videos."""
    device: Device = "auto"
    """Where to run."""
    precision: Precision = "auto"
    """bf16 autocast where the processor has it (auto), or fp32, or fp16 (CUDA only)."""

    def __post_init__(self) -> None:
        require_clips(self)


@dataclass(frozen=True)
class PredictConfig:
    """Name the classes of new videos with a fine-tuned network.

    Examples: rspnet predict my_video.mp4 --weights runs/ucf
              rspnet predict my_videos --weights runs/ucf --out classes.csv
              rspnet predict my_videos --weights runs/ucf --window_s 2 --out timeline
    """

    weights: str
    """Weights of rspnet finetune: its run folder, a checkpoint in it, or an export."""
    videos: list[str] = positional("Video files, and folders or lists of videos.", nargs="+")
    top: int = 5
    """Classes to print."""
    out: str | None = None
    """A .csv, .json or .parquet file with the probability of every class; with --window_s a run folder (as that of
    rspnet classify run: events, subtitles, BORIS, ELAN, a page of strips)."""
    window_s: float | None = None
    """Judge windows of so many seconds instead of whole videos."""
    hop_s: float | None = None
    """Seconds from one window to the next; the default is half a window."""
    num_clips: int | None = None
    """Evenly spaced clips of a video; the default is the run's. A window is one clip."""
    num_workers: int | None = None
    """Processes that read videos."""
    device: Device = "auto"
    """Where to run."""
    precision: Precision = "auto"
    """bf16 autocast where the processor has it (auto), or fp32, or fp16 (CUDA only)."""

    def __post_init__(self) -> None:
        require(self.top >= 1, f"--top {self.top}: must be at least 1")
        require_clips(self)
        window, hop = self.window_s, self.hop_s
        require(window is None or window > 0, f"--window_s {window}: must be above 0")
        require(window is None or self.num_clips is None, "--num_clips: is for whole videos, a window is one clip")
        fits = hop is None or (window is not None and 0 < hop <= window)
        require(fits, f"--hop_s {hop}: must be above 0 and at most --window_s")
        require(window is None or self.out is not None, "--window_s: name a run folder with --out")
        known = window is not None or self.out is None or self.out.endswith((".csv", ".json", ".parquet"))
        require(known, f"--out {self.out}: must end in .csv, .json or .parquet")
