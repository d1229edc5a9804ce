"""Options of `rspnet doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.on_ray import RayConfig
from rspnet.config.rules import positional, require


@dataclass(frozen=True)
class DoctorConfig(RayConfig):
    """Find what is wrong with a collection of videos before training on it; --system looks at the machine instead.

    Every frame of every video is decoded once. Exit code 1 where anything was found. What was looked at is kept in
    `out`, so a second call looks at new and changed files only.

    Example: rspnet doctor my_videos --write_list usable.csv
    """

    videos: str | None = positional("Folder of videos, or a list of them (.csv, .txt).", nargs="?", default=None)
    root: str | None = None
    """Folder that the paths of a list are relative to; the default is the list's own."""
    against: str | None = None
    """Second folder or list: videos that hold the same pictures as one of it are named (leakage)."""
    near: float | None = None
    """Also name videos that look alike, as recoded or resized copies do, from this similarity on (0 to 1; try 0.9)."""
    num_frames: int | None = None
    """Frames of one clip in the training planned; the default is the clip that rspnet pretrain chooses for these
    videos, or 16 where speeds or fps are given."""
    speeds: tuple[int, ...] | None = None
    """Fast speeds of the training planned; the default is as for num_frames, or 2."""
    fps: float | None = None
    """Rate the training planned resamples to."""
    write_list: str | None = None
    """CSV file to write the usable videos to, for --data.list."""
    num_workers: int | None = None
    """Processes that decode; the default is one for each core."""
    system: bool = False
    """Print versions, codecs, cores, memory, speed and a recommended recipe."""
    out: str = "doctor"
    """Folder for report.csv, report.json, config.yaml, result.json and the memory of earlier calls."""

    def __post_init__(self) -> None:
        self.require_ray()
        require(bool(self.videos) or self.system, "name a folder or list of videos, or give --system")
        require(self.near is None or 0 < self.near <= 1, f"--near {self.near}: a similarity, above 0 and at most 1")
        frames, speeds = self.num_frames, self.speeds
        require(frames is None or frames >= 2, f"--num_frames {frames}: a clip needs at least 2 frames")
        fast = speeds is None or (bool(speeds) and min(speeds) >= 2)
        require(fast, f"--speeds {list(speeds or ())}: each must be at least 2")
        require(self.fps is None or self.fps > 0, f"--fps {self.fps}: must be above 0")
        require(self.num_workers is None or self.num_workers >= 1, f"--num_workers {self.num_workers}: at least 1")
