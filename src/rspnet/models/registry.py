"""Backbones by name, without torch until one is made: the names are options of commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from rspnet.core.errors import ConfigError
from rspnet.core.plugins import note_script, plugins_among
from rspnet.models.kinds import InputKind

if TYPE_CHECKING:
    from rspnet.models.backbone import Backbone


def _c3d(**given: Any) -> Backbone:
    from rspnet.models.c3d import C3D

    return C3D(**given)


def _r2plus1d_vcop(**given: Any) -> Backbone:
    from rspnet.models.r2plus1d import R2Plus1DVcop

    return R2Plus1DVcop(**given)


def _resnet3d(block: Literal["BasicBlock", "Bottleneck"], **given: Any) -> Backbone:
    from rspnet.models import resnet3d

    return resnet3d.ResNet3D(block=getattr(resnet3d, block), **given)


def _s3dg(**given: Any) -> Backbone:
    from rspnet.models.s3dg import S3DG

    return S3DG(**given)


def _two_stream(**given: Any) -> Backbone:
    from rspnet.models.two_stream import TwoStream

    return TwoStream(**given)


def _video_resnet(**given: Any) -> Backbone:
    from rspnet.models.video_resnet import VideoResNet18

    return VideoResNet18(**given)


_BUILDERS: dict[str, Callable[..., Backbone]] = {
    "c3d": _c3d,
    "r2plus1d_18": partial(_video_resnet, factored=True),
    "r2plus1d_vcop": _r2plus1d_vcop,
    "r3d_10_slim": partial(_resnet3d, "BasicBlock", depths=(1, 1, 1, 1), widths=(32, 64, 128, 256)),
    "r3d_18": partial(_resnet3d, "BasicBlock", depths=(2, 2, 2, 2)),
    "r3d_18_torchvision": partial(_video_resnet, factored=False),
    "r3d_34": partial(_resnet3d, "BasicBlock", depths=(3, 4, 6, 3)),
    "r3d_50": partial(_resnet3d, "Bottleneck", depths=(3, 4, 6, 3)),
    "s3dg": _s3dg,
    "two_stream_slim": _two_stream,
}


def register_backbone(name: str, builder: Callable[..., Backbone]) -> None:
    """Make a backbone known by a name, to every option that names one and to everything that opens checkpoints.

    Args:
        name: what users and checkpoints call it.
        builder: called as `builder(name=..., input=...)`, gives a freshly initialised `Backbone`.

    Raises:
        ConfigError: the name is taken or no text, or the builder cannot be called.
    """
    if not isinstance(name, str) or not name or not callable(builder):
        raise ConfigError(f"register_backbone({name!r}, {builder!r}): needs a text and what makes a backbone")
    if _BUILDERS.get(name, builder) is not builder and _origin(_BUILDERS[name]) != _origin(builder):
        raise ConfigError(f"backbone {name!r} is there already: choose another name")
    note_script(_origin(builder)[0])
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
        input: what the network sees of a clip, see `rspnet.models.kinds.InputKind`.

    Raises:
        ConfigError: unknown name or input, or what was registered by that name makes no `Backbone`, or an empty one.
    """
    if name not in _BUILDERS:
        raise ConfigError(f"unknown backbone {name!r}; choose one of {', '.join(backbone_names())}")
    if input not in get_args(InputKind):
        raise ConfigError(f"unknown model input {input!r}; choose one of {', '.join(get_args(InputKind))}")
    from rspnet.models.backbone import Backbone

    made = _BUILDERS[name](name=name, input=input)
    if not isinstance(made, Backbone):
        raise ConfigError(f"backbone {name!r}: its builder must give an rspnet.Backbone, not {type(made).__name__}")
    kind = type(made)
    if kind.stages is Backbone.stages and kind.forward_features is Backbone.forward_features:
        raise ConfigError(f"backbone {name!r}: {kind.__name__} defines no `stages`")
    if next(made.parameters(), None) is None:
        raise ConfigError(f"backbone {name!r}: {kind.__name__} has no parameters: there is nothing to learn")
    made.name = name  # checkpoints keep it; a builder may have changed a network that has another
    return made
