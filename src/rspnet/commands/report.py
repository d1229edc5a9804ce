"""`rspnet report`: show a run in one HTML file."""

from __future__ import annotations

from pathlib import Path

from rspnet.config.report import ReportConfig
from rspnet.core.console import PlainConsole
from rspnet.show.report.write_report import write_report


def report(config: ReportConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: no run folder, or one that cannot be read or written.
    """
    path = write_report(Path(config.run), num_videos=config.num_videos, device=config.device)
    PlainConsole(stderr=True).print(f"report: {path}")
