"""Options of `rspnet report`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import Device, positional, require


@dataclass(frozen=True)
class ReportConfig:
    """Show a run in one HTML file, RUN/report.html, that opens from disk without a network.

    Example: rspnet report runs/first
    """

    run: str = positional(
        "Run folder: the --out of a training, or of demo, evaluate, probe, retrieve, embed, classify, compare, roi, "
        "doctor or export; no library, and no folder of pack or transcode, which hold no run."
    )
    num_videos: int = 64
    """Videos among which nearest neighbours are sought; 0 leaves out what needs the network."""
    device: Device = "auto"
    """Where to run."""

    def __post_init__(self) -> None:
        require(self.num_videos >= 0, f"--num_videos {self.num_videos}: must not be negative")
