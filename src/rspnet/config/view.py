"""Options that all commands share which turn videos into vectors."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import Device, Precision, require, require_clips

CLIPS_OF_A_VIDEO = 10


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """What the network sees of a video, and where it runs."""

    num_frames: int | None = None
    """Frames of a clip; the default is what the network was trained with."""
    stride: int | None = None
    """Frames from one frame of a clip to the next; the default is the slow speed that the network was trained with."""
    fps: float | None = None
    """Read the videos at this rate by time, 0 for their native frames; the default is what the network was trained
    with."""
    size: int | None = None
    """Height and width of a clip in pixels; the default is what the network was trained with."""
    batch_size: int = 16
    """Clips that go through the network together."""
    num_workers: int | None = None
    """Processes that read videos; by default the cores that the network does not need."""
    device: Device = "auto"
    """Where to run."""
    precision: Precision = "auto"
    """bf16 autocast where the processor has it (auto), or fp32, or fp16 (CUDA only)."""

    def __post_init__(self) -> None:
        require_clips(self)
        require(self.fps is None or self.fps >= 0, f"--fps {self.fps}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class EvenViewConfig(ViewConfig):
    """The same with clips spread evenly over every video."""

    num_clips: int = CLIPS_OF_A_VIDEO
    """Evenly spaced clips per video."""
