"""Options of `rspnet weights`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import positional, require


@dataclass(frozen=True)
class WeightsConfig:
    """List published weights, explain one, or download it.

    Nothing is downloaded unless `--download` asks for it. Size and SHA-256 are noted at the first download and checked
    at every later one.

    Example: rspnet weights rspnet-r3d_18-200 --download weights
    """

    name: str | None = positional("Weights to explain; all are listed without it.", nargs="?", default=None)
    download: str | None = None
    """Folder to download the file to; a file already there is checked instead."""

    def __post_init__(self) -> None:
        require(self.download is None or self.name is not None, "--download needs the name of the weights to download")
