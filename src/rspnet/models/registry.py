"""Backbones by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

from rspnet.core.errors import ConfigError
from rspnet.core.plugins import plugins_among
from rspnet.models.backbone import Backbone, InputKind
from rspnet.models.c3d import C3D
from rspnet.models.r2plus1d import R2Plus1DVcop
from rspnet.models.resnet3d import BasicBlock, Bottleneck, ResNet3D
from rspnet.models.s3dg import S3DG
from rspnet.models.two_stream import TwoStream
from rspnet.models.video_resnet import VideoResNet18

_BUILDERS: dict[str, Callable[..., Backbone]] = {
    "c3d": C3D,
    "r2plus1d_18": partial(VideoResNet18, factored=True),
    "r2plus1d_vcop": R2Plus1DVcop,
    "r3d_10_slim": partial(ResNet3D, block=BasicBlock, depths=(1, 1, 1, 1), widths=(32, 64, 128, 256)),
    "r3d_18": partial(ResNet3D, block=BasicBlock, depths=(2, 2, 2, 2)),
    "r3d_18_torchvision": partial(VideoResNet18, factored=False),
    "r3d_34": partial(ResNet3D, block=BasicBlock, depths=(3, 4, 6, 3)),
    "r3d_50": partial(ResNet3D, block=Bottleneck, depths=(3, 4, 6, 3)),
    "s3dg": S3DG,
    "two_stream_slim": TwoStream,
}


def register_backbone(name: str, builder: Callable[..., Backbone]) -> None:
    """Make a backbone known by a name, to every option that names one and to everything that opens checkpoints.

    Args:
        name: what users and checkpoints call it.
        builder: called as `builder(name=..., input=...)`, gives a freshly initialised `Backbone` of that name.

    Raises:
        ConfigError: the name is taken.
    """
    if _BUILDERS.get(name, builder) is not builder and _origin(_BUILDERS[name]) != _origin(builder):
        raise ConfigError(f"backbone {name!r} is there already: choose another name")
    _BUILDERS[name] = builder


def _origin(builder: Callable[..., Backbone]) -> tuple[str, str]:
    """Where a builder is defined: module and name."""
    made = builder.func if isinstance(builder, partial) else builder
    return made.__module__, getattr(made, "__qualname__", repr(made))


def backbone_plugins(name: str) -> list[str]:
    """The module from outside this package that registered a backbone; none for our own and for unknown ones."""
    return plugins_among(_origin(_BUILDERS[name])[0]) if name in _BUILDERS else []


def backbone_names() -> list[str]:
    """Every name `create_backbone` knows, sorted."""
    return sorted(_BUILDERS)


def create_backbone(name: str, *, input: InputKind = "rgb") -> Backbone:  # noqa: A002
    """A freshly initialised backbone (from torch's global random state).

    Args:
        name: one of `backbone_names()`.
        input: what the network sees of a clip, see `rspnet.models.backbone.InputKind`.

    Raises:
        ConfigError: unknown name or input.
    """
    if name not in _BUILDERS:
        raise ConfigError(f"unknown backbone {name!r}; choose one of {', '.join(backbone_names())}")
    if input not in get_args(InputKind):
        raise ConfigError(f"unknown model input {input!r}; choose one of {', '.join(get_args(InputKind))}")
    return _BUILDERS[name](name=name, input=input)
