"""Pretext methods by name, without torch: which options there are, and a choice among them."""

from __future__ import annotations

from dataclasses import MISSING, fields
from inspect import getattr_static
from typing import Any, TypeVar

from rspnet.core.errors import ConfigError
from rspnet.core.plugins import note_script
from rspnet.pretext.arguments import BARE_METHOD, DEFAULT_METHOD
from rspnet.pretext.method import PretextMethod
from rspnet.pretext.moco_method import MoCoMethod
from rspnet.pretext.order import OrderMethod
from rspnet.pretext.pace import PaceMethod
from rspnet.pretext.rspnet_method import RSPNetMethod
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
        ConfigError: it has no name, or one that is taken; no frozen dataclass, no `clips` or `build`; an option whose
            default differs.
    """
    if not (isinstance(kind, type) and issubclass(kind, PretextMethod)):
        raise ConfigError(f"register_method({kind!r}): needs a class derived from rspnet.PretextMethod")
    name, known = kind.method, option_defaults()
    own = vars(kind).get("__dataclass_params__")  # not one that it inherits
    if own is None or not own.frozen:
        raise ConfigError(f"method {name!r}: {kind.__name__} is no dataclass(frozen=True)")
    if not isinstance(name, str) or not name or name == BARE_METHOD:
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
    for part in ("clips", "build"):
        if getattr_static(kind, part) is getattr_static(PretextMethod, part):
            raise ConfigError(f"method {name!r}: {kind.__name__} defines no `{part}`")
    note_script(kind.__module__)
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


for _kind in (RSPNetMethod, PaceMethod, SpeedNetMethod, MoCoMethod, OrderMethod):
    register_method(_kind)
