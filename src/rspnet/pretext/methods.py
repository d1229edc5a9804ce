"""Pretext methods by name, and what can be asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

import torch

from rspnet.core.errors import ConfigError
from rspnet.core.plugins import require_plugins
from rspnet.core.rng import derive_seed
from rspnet.models.registry import create_backbone
from rspnet.pretext.bare import METHOD as BARE
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.base import DEFAULT_METHOD, PretextModel
from rspnet.pretext.method import PretextMethod
from rspnet.pretext.moco import MoCoMethod
from rspnet.pretext.opening import without_heads
from rspnet.pretext.order import OrderMethod
from rspnet.pretext.outside import refuse_outside
from rspnet.pretext.pace import PaceMethod
from rspnet.pretext.rspnet import RSPNet, RSPNetMethod
from rspnet.pretext.speednet import SpeedNetMethod

Kind = TypeVar("Kind", bound=type[PretextMethod])
_METHODS: dict[str, type[PretextMethod]] = {}


def register_method(kind: Kind) -> Kind:
    """Make a pretext method known by its name, to `rspnet pretrain --model.method` and to everything that opens
    checkpoints; may be used as a decorator.

    Args:
        kind: a frozen dataclass derived from `PretextMethod`. An option that another method has, too, must have the
            same default there: there is one `--model.NAME`.

    Raises:
        ConfigError: it has no name, or one that is taken; no frozen dataclass; an option whose default differs.
    """
    name, known = kind.method, option_defaults()
    if not (is_dataclass(kind) and kind.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise ConfigError(f"method {name!r}: {kind.__name__} is no dataclass(frozen=True)")
    if not name or name == BARE:
        raise ConfigError(f"{kind.__name__} has no name that can be used: set `method`, not to {name!r}")
    taken = _METHODS.get(name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ConfigError(f"method {name!r} is {taken.__module__}.{taken.__qualname__} already: choose another name")
    for option, default in own_defaults(kind).items():
        if default is MISSING:
            raise ConfigError(f"method {name!r}: option {option!r} has no default")
        if taken is None and known.get(option, default) != default:
            raise ConfigError(
                f"method {name!r}: option {option!r} has the default {default!r}, but {known[option]!r} in another "
                "method: choose another name"
            )
    _METHODS[name] = kind
    return kind


def method_names() -> list[str]:
    """Every method's name, in the order in which they were registered."""
    return list(_METHODS)


def find_method(name: str) -> type[PretextMethod]:
    """The method of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _METHODS:
        raise ConfigError(f"unknown pretext method {name!r}: one of {', '.join(_METHODS)}")
    return _METHODS[name]


def own_defaults(kind: type[PretextMethod]) -> dict[str, Any]:
    """Options of a method and their defaults."""
    return {item.name: item.default for item in fields(kind) if item.init}


def option_defaults() -> dict[str, Any]:
    """Options of all methods and their defaults."""
    found = own_defaults(PretextMethod)
    for kind in _METHODS.values():
        found |= own_defaults(kind)
    return found


def choose_method(method: str = DEFAULT_METHOD, **options: Any) -> PretextMethod:
    """A method with values for its options; those of other methods do not count.

    Raises:
        ConfigError: no such method, a value out of range, or one that contradicts the method.
        TypeError: an option of no method.
    """
    kind, known = find_method(method), option_defaults()
    for name in options:
        if name not in known:
            raise TypeError(f"no pretext method has an option {name!r}")
    own = own_defaults(kind)
    for other in _METHODS.values():
        names, rule = other.elsewhere
        if any(name not in own and options.get(name, known[name]) != known[name] for name in names):
            raise ConfigError(f"--model.{', '.join(names)} {rule.format(method=method)}")
    return kind(**{name: value for name, value in options.items() if name in own})


def create_method(config: Mapping[str, Any]) -> PretextModel:
    """A freshly initialised model of a `config`; one without a method is RSPNet's.

    Raises:
        ConfigError: unknown method, an argument out of its range, or a plug-in that is not loaded.
        TypeError: arguments that the method does not have.
    """
    settings = dict(config)
    require_plugins(settings.pop("plugins", ()))
    method = settings.pop("method", DEFAULT_METHOD)
    if method == BARE:
        network = create_backbone(settings.pop("backbone", ""), input=settings.pop("input", "rgb"))
        return BareBackbone(network, **settings)
    return find_method(method).rebuild(**settings)


def fresh_twin(model: PretextModel, *, seed: int) -> PretextModel:
    """A model of the same structure with the initial weights that the seed gives, in eval mode.

    Raises:
        ConfigError: its network is another program's.
    """
    refuse_outside(model.backbone, "fresh weights")
    torch.manual_seed(derive_seed(seed, "initial weights"))
    return create_method(model.config).eval()


def require_heads(model: PretextModel, *, task: str) -> RSPNet:
    """The model as one with a motion and an appearance head.

    Args:
        model: any pre-trained model.
        task: what needs the heads, for the message.

    Raises:
        CheckpointError: it was pre-trained by a method without them.
    """
    if not isinstance(model, RSPNet):
        raise without_heads(task, method=model.config["method"])
    return model


for _kind in (RSPNetMethod, PaceMethod, SpeedNetMethod, MoCoMethod, OrderMethod):
    register_method(_kind)
