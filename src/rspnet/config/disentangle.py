"""Options of `rspnet study disentangle`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import DEFAULT_WEIGHTS, Device, Precision, require, require_clips


@dataclass(frozen=True)
class DisentangleConfig:
    """Measure what a network's features encode, and which traces its RSP head uses to recognise speed.

    Linear probes of speed, direction, motion, texture, colour and background on the backbone and on both heads; RSP
    accuracy on copies that keep the motion but not the traces that could stand in for it. Needs no data.

    Example: rspnet study disentangle --weights runs/first --out disentangle
    """

    weights: str = DEFAULT_WEIGHTS
    """Weights: checkpoint, run folder, export, published file, or the name of weights that come with the package."""
    out: str = "disentangle"
    """Run folder: report.md, report.png, result.json and config.yaml go there."""
    random_init: bool = False
    """Use the same network with fresh weights drawn from the seed: the control."""
    videos: str | None = None
    """Folder of your own videos for the shortcut tests; without it procedural videos are made."""
    num_videos: int = 360
    """Procedural videos of the linear probes; a third is for test, and half as many more show directions."""
    shortcut_videos: int = 200
    """Videos of the shortcut tests, one pair of windows each."""
    speed: int = 2
    """The fast speed of the shortcut tests; the slow one is 1."""
    num_clips: int = 4
    """Evenly spaced clips of a video whose mean vector the probes see."""
    cache: str | None = None
    """Folder of written videos kept between runs; the default is rspnet/videos in the user's cache folder."""
    seed: int = 0
    """Seed of videos, windows, folds and fresh weights."""
    device: Device = "auto"
    """Where to run."""
    precision: Precision = "auto"
    """bf16 autocast where the processor has it (auto), or fp32, or fp16 (CUDA only)."""

    def __post_init__(self) -> None:
        require_clips(self)
        require(self.num_videos >= 48, f"--num_videos {self.num_videos}: must be at least 48")
        require(self.shortcut_videos >= 8, f"--shortcut_videos {self.shortcut_videos}: must be at least 8")
        require(self.speed >= 2, f"--speed {self.speed}: must be at least 2")
