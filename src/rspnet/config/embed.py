"""Options of `rspnet embed`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rspnet.config.rules import Device, Precision, positional, require_clips


@dataclass(frozen=True)
class EmbedConfig:
    """Turn videos into feature vectors with a trained network.

    Example: rspnet embed runs/first/last.ckpt my_videos --out features
    """

    model: str = positional("Checkpoint (last.ckpt), published .pth.tar file, or rspnet-small.")
    videos: list[str] = positional("Video files or folders of videos.", nargs="+")
    out: str = "features"
    """Run folder: features.npz (or .parquet), config.yaml and result.json go there."""
    level: Literal["video", "clip"] = "video"
    """One vector per video (mean over its clips), or one per clip."""
    format: Literal["npz", "parquet"] = "npz"
    """File format."""
    num_clips: int = 10
    """Evenly spaced clips per video."""
    num_frames: int | None = None
    """Frames of a clip; the default is what the network was trained with."""
    stride: int | None = None
    """Frames from one frame of a clip to the next; the default is the slow speed that the network was trained with."""
    size: int | None = None
    """Height and width of a clip in pixels; the default is what the network was trained with."""
    batch_size: int = 8
    """Clips that go through the network together."""
    num_workers: int | None = None
    """Processes that read videos."""
    device: Device = "auto"
    """Where to run."""
    precision: Precision = "auto"
    """bf16 autocast where the processor has it (auto), or fp32, or fp16 (CUDA only)."""

    def __post_init__(self) -> None:
        require_clips(self)
