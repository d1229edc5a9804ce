"""What the configurations share: value types, rules, fields given by place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rspnet.core.errors import ConfigError
from rspnet.core.files import is_list
from rspnet.models.registry import backbone_names
from rspnet.weights import DEFAULT

DEFAULT_WEIGHTS = DEFAULT
"""The model where none is named: weights that come with the package."""
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp32", "fp16"]
METHOD = {"method": True}
"""Metadata of a field that holds a pretext method: its options are those of all methods that are registered."""


class ByPlace(NamedTuple):
    """An option that may also be given by place: the name and help of the place, and which option a text stands for."""

    name: str
    help: str
    option: Callable[[str], str]


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError` unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def require_backbone(name: str | None, *, option: str) -> None:
    """Raise `ConfigError` for a backbone's name that is not known."""
    names = backbone_names()
    require(name is None or name in names, f"--{option} {name!r}: must be one of {', '.join(names)}")


def require_clips(config: Any, *, prefix: str = "--") -> None:
    """Raise `ConfigError` where an option of how clips are cut and batched, of those there are, is out of range."""
    least = {"num_frames": 2, "size": 16, "num_workers": 0}
    least |= dict.fromkeys(("num_clips", "stride", "batch_size"), 1)
    for name, smallest in least.items():
        value = getattr(config, name, None)
        require(value is None or value >= smallest, f"{prefix}{name} {value}: must be at least {smallest}")


DEFAULT_OUT = "runs/{}-NAME"
"""Where a training goes that names no run folder; {} is the command, NAME the name of its videos' folder or list."""


def named_out(out: str, command: str, videos: str | None) -> str:
    """The run folder: `out`, with the name of the videos in it where it is the default."""
    if out != DEFAULT_OUT.format(command):
        return out
    path = Path(videos or "videos").resolve()
    return out.replace("NAME", path.stem if is_list(path) else path.name)


def positional(text: str, **options: Any) -> Any:
    """A field given by place; `text` explains it in --help, `options` go to argparse (nargs) or are its default."""
    default = {"default": options["default"]} if "default" in options else {}
    return field(metadata={"positional": {"help": text, **options}}, **default)


def several(text: str) -> Any:
    """An option that takes one text or more; `text` explains it in --help."""
    return field(default_factory=list, metadata={"several": text})
