"""Options of `rspnet pack`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.on_ray import RayConfig
from rspnet.config.rules import positional, require


@dataclass(frozen=True)
class PackConfig(RayConfig):
    """Pack videos into shards: few large files instead of many small ones, for disks and object stores.

    A shard is a plain tar file (`tar xf`, webdataset); next to every video is a .json with its name, label, frames and
    fps. `out` then stands for the folder of videos in every command that takes one. Every video is checked once, frame
    by frame; what cannot be decoded whole is skipped and named, and the exit code is 1. Call it again to go on where
    it was stopped, or after videos have come, changed or gone: only new and changed ones are packed.

    Example: rspnet pack my_videos --out shards
    """

    videos: str = positional("Folder of videos, or a list of them (.csv, .txt), or the URL of either.")
    out: str = "shards"
    """Folder for the shards, 000000.tar and so on, and index.parquet; notes and skipped.csv go to .pack in it."""
    root: str | None = None
    """Folder that the paths of a list are relative to; the default is the list's own."""
    shard_mb: int = 1024
    """Mebibytes of a shard at most; a larger video has one to itself."""
    transcode: bool = False
    """Pack small copies that are quick to read, as rspnet transcode makes them; the videos stay as they are."""
    short_side: int = 256
    """With --transcode: pixels of the shorter side."""
    num_workers: int | None = None
    """Processes that check videos; the default is one for each core."""
    dry_run: bool = False
    """Say how many videos there are to do, how long it will take on this machine and how much disk, from a few videos,
    and stop."""

    def __post_init__(self) -> None:
        self.require_ray()
        require(self.shard_mb >= 1, f"--shard_mb {self.shard_mb}: must be at least 1")
        require(
            self.transcode or self.short_side == PackConfig.short_side,
            f"--short_side {self.short_side}: belongs to --transcode, which packs small copies",
        )
        require(self.short_side >= 16, f"--short_side {self.short_side}: must be at least 16 pixels")
        require(self.num_workers is None or self.num_workers >= 1, f"--num_workers {self.num_workers}: at least 1")
