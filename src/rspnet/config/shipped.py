"""Options of `rspnet study shipped`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import require


@dataclass(frozen=True)
class ShippedConfig:
    """Make the weights that come with the package again: draw the videos, train on them, write the small file.

    With the defaults and one training thread the result is rspnet-small (docs/rspnet-small.md). Go on after a stop with
    the same command.

    Example: rspnet study shipped --out small
    """

    out: str = "small"
    """Folder: videos/, run/ (a run of rspnet pretrain) and rspnet-small.ckpt go there."""
    num_videos: int = 800
    """Videos to draw."""
    max_steps: int | None = None
    """Stop the training here (a trial); the default is the recipe's length."""
    num_workers: int = 0
    """Loader processes of the training; the result does not depend on it."""
    seed: int = 0
    """Seed of the training; that of the videos is one more."""

    def __post_init__(self) -> None:
        require(self.num_videos >= 32, f"--num_videos {self.num_videos}: must be at least 32, a batch")
        require(self.max_steps is None or self.max_steps >= 1, f"--max_steps {self.max_steps}: must be at least 1")
        require(self.num_workers >= 0, f"--num_workers {self.num_workers}: must not be negative")
