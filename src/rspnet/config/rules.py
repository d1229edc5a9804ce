"""What the configurations share: value types, rules, fields given by place."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from rspnet.core.errors import ConfigError
from rspnet.weights import DEFAULT

BackboneName = Literal[
    "c3d",
    "r3d_10_slim",
    "r3d_18",
    "r3d_18_torchvision",
    "r3d_34",
    "r3d_50",
    "r2plus1d_vcop",
    "r2plus1d_18",
    "s3dg",
    "two_stream_slim",
]
DEFAULT_WEIGHTS = DEFAULT
"""The model where none is named: weights that come with the package."""
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp32", "fp16"]


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError` unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def require_clips(config: Any, *, prefix: str = "--") -> None:
    """Raise `ConfigError` where an option of how clips are cut and batched, of those there are, is out of range."""
    least = {"num_frames": 2, "size": 16, "num_workers": 0}
    least |= dict.fromkeys(("num_clips", "test_clips", "clips", "stride", "batch_size"), 1)
    for name, smallest in least.items():
        value = getattr(config, name, None)
        require(value is None or value >= smallest, f"{prefix}{name} {value}: must be at least {smallest}")


def positional(text: str, **options: Any) -> Any:
    """A field given by place; `text` explains it in --help, `options` go to argparse (nargs) or are its default."""
    default = {"default": options["default"]} if "default" in options else {}
    return field(metadata={"positional": {"help": text, **options}}, **default)
