"""Options of `rspnet convert`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import positional


@dataclass(frozen=True)
class ConvertConfig:
    """Turn a weights file of another program into a checkpoint of ours, and report what happened to every key.

    Reads the paper's published files (pre-training and fine-tuned), torchvision's r2plus1d_18 and
    r3d_18, and state dicts of known networks under any prefix. Code in a file is never executed.

    Example: rspnet convert model_best_s3dg_200epoch.pth.tar --out s3dg.ckpt
    """

    weights: str = positional("File of weights.")
    out: str | None = None
    """Checkpoint to write, with OUT.report.json next to it; only a file that this command made is replaced. Without it
    only the report is printed."""
    keys: bool = False
    """Print every key, not only counts and reasons."""
