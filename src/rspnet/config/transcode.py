"""Options of `rspnet transcode`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.on_ray import RayConfig
from rspnet.config.rules import positional, require


@dataclass(frozen=True)
class TranscodeConfig(RayConfig):
    """Rewrite videos small and quick to read: H.264, few pixels, many key frames, no sound.

    Every file keeps its folder and its whole name, so annotation lists (.csv, .txt, .json; copied along) stay right:
    a name that ends in .avi then holds an MP4, which this package and FFmpeg recognise by content. Frames, their order
    and their times stay the same and are checked after writing. Call it again to go on where it was stopped.

    Example: rspnet transcode kinetics --out kinetics-256
    """

    videos: str = positional("Folder of videos.")
    out: str = "transcoded"
    """Folder to write to."""
    short_side: int = 256
    """Pixels of the shorter side; smaller videos are not enlarged."""
    crf: int = 20
    """Quality of x264: 0 is lossless, 51 the worst."""
    num_workers: int | None = None
    """Processes; the default is one for each core."""
    dry_run: bool = False
    """Say how many videos there are to do, how long it will take on this machine and how much disk, from the starts of
    a few videos, and stop."""

    def __post_init__(self) -> None:
        self.require_ray()
        require(self.short_side >= 16, f"--short_side {self.short_side}: must be at least 16 pixels")
        require(0 <= self.crf <= 51, f"--crf {self.crf}: must be from 0 to 51")
        require(self.num_workers is None or self.num_workers >= 1, f"--num_workers {self.num_workers}: at least 1")
