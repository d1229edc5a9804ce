"""Options of `rspnet embed`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rspnet.config.on_ray import RayViewConfig
from rspnet.config.rules import DEFAULT_WEIGHTS, positional, require
from rspnet.config.view import CLIPS_OF_A_VIDEO, ViewConfig


@dataclass(frozen=True)
class EmbedConfig(ViewConfig, RayViewConfig):
    """Turn videos into feature vectors with a trained network; run it again to go on, or after videos have changed.

    Examples: rspnet embed my_videos --out features
              rspnet embed my_videos --weights runs/first --window_s 2 --hop_s 1
    """

    videos: list[str] = positional("Video files, and folders or lists of videos.", nargs="+")
    weights: str = DEFAULT_WEIGHTS
    """Weights: checkpoint, run folder, export, published file, or the name of weights that come with the package."""
    out: str = "features"
    """Run folder: features.parquet (a folder of parts), config.yaml and result.json go there."""
    window_s: float | None = None
    """Seconds of a window: a vector for every window with its times, instead of evenly spaced clips."""
    hop_s: float | None = None
    """Seconds from one window to the next; the default is half a window."""
    num_clips: int | None = None
    """Evenly spaced clips of a video, 10 by default; of a window, from the middles of as many equal parts, by default 3
    for a network with two streams, else 1."""
    level: Literal["video", "clip"] = "video"
    """Without windows: one vector per video (of all its clips), or one per clip."""
    descriptor: Literal["mean", "mean_std", "mean_std_change"] | None = None
    """How the backbone's vectors of a row's clips become one: their mean, also their deviation, also their change from
    clip to clip (then of two earlier stages, too). The default for rows of several clips is mean_std_change."""
    dtype: Literal["float32", "float16"] = "float32"
    """Numbers on disk; float16 takes half the space."""
    format: Literal["parquet", "npz"] = "parquet"
    """npz: also write all of it as one features.npz in the end."""
    drop_gone: bool = False
    """Forget videos of the run folder whose files are no more."""
    dry_run: bool = False
    """Only say what it would cost: a few seconds' sample, nothing is written."""

    @property
    def clips_of_a_video(self) -> int:
        """Evenly spaced clips of a video, where there are no windows."""
        return CLIPS_OF_A_VIDEO if self.num_clips is None else self.num_clips

    def clips_of_a_row(self, *, several: int) -> int:
        """Clips that a vector is made of; `several` is the network's usual number in a window."""
        if self.window_s is not None:
            return several if self.num_clips is None else self.num_clips
        return self.clips_of_a_video if self.level == "video" else 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_ray()
        window, hop = self.window_s, self.hop_s
        require(window is None or window > 0, f"--window_s {window}: must be above 0")
        require(hop is None or window is not None, f"--hop_s {hop}: is for windows, give --window_s")
        deviates = self.descriptor in (None, "mean") or self.clips_of_a_row(several=2) > 1
        require(deviates, f"--descriptor {self.descriptor}: needs several clips a row (--num_clips, --level video)")
        fits = hop is None or window is None or 0 < hop <= window
        require(fits, f"--hop_s {hop}: must be above 0 and at most --window_s")
