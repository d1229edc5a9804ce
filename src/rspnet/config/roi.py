"""Options of `rspnet roi`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import DEFAULT_WEIGHTS, Device, positional, require, require_clips


@dataclass(frozen=True)
class RoiConfig:
    """Show where two clips are similar, in motion and in appearance: a picture and a video.

    Compared are overlapping crops of a quarter of a clip's side; a map says where, not when.

    Example: rspnet roi a.mp4 b.mp4 --out roi
    """

    first: str = positional("A video.")
    second: str = positional("Another video (or the same at another time).")
    weights: str = DEFAULT_WEIGHTS
    """Weights: checkpoint, run folder, export, published file, or the name of weights that come with the package."""
    out: str = "roi"
    """Run folder: roi.png, roi.mp4, config.yaml and result.json go there."""
    first_start: float | None = None
    """Second at which the first clip starts; the default takes it from the middle."""
    second_start: float | None = None
    """Second at which the second clip starts; the default takes it from the middle."""
    num_frames: int | None = None
    """Frames of a clip; the default is what the network was trained with."""
    stride: int | None = None
    """Frames from one frame of a clip to the next; the default is the slow speed that the network was trained with."""
    size: int | None = None
    """Height and width of a clip and of its crops in pixels; the default is what the network was trained with."""
    device: Device = "auto"
    """Where to run."""

    def __post_init__(self) -> None:
        require_clips(self)
        for name in ("first_start", "second_start"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"--{name} {value}: must not be negative")
