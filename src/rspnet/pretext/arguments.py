"""What options of methods and arguments of models may be, without torch: the help of `rspnet pretrain` needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from numbers import Integral, Real
from operator import le
from typing import Any

from rspnet.core.errors import ConfigError

LEAST: Mapping[str, int] = {
    "feature_dim": 1,
    "queue_size": 1,
    "virtual_ranks": 1,
    "num_frames": 1,
    "size": 1,
    "stride": 1,
}
"""The smallest value of each argument that is a whole number."""

Rule = tuple[str, str, Callable[[float], bool]]
"""(argument, what must hold, whether it holds)."""

RANGES: tuple[Rule, ...] = (
    *((name, f"must be at least {least}", partial(le, least)) for name, least in LEAST.items()),
    ("momentum", "must be in 0..1", lambda value: 0 <= value <= 1),
    ("temperature", "must be above 0", lambda value: value > 0),
    ("margin", "must not be negative", lambda value: value >= 0),
    ("appearance_weight", "must not be negative", lambda value: value >= 0),
    ("motion_weight", "must not be negative", lambda value: value >= 0),
)


def check_ranges(values: Mapping[str, Any], *, text: str) -> None:
    """Raise a ConfigError for the first value that is no number of its kind, or out of its range.

    Args:
        values: arguments by name; those without a rule in `RANGES` are not looked at.
        text: the message, with {name}, {value} and {rule}.
    """
    for name, rule, holds in RANGES:
        if name not in values:
            continue
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, Integral if name in LEAST else Real):
            rule = "must be a whole number" if name in LEAST else "must be a number"
        elif not isfinite(number := float(value)):
            rule = "must be finite"
        elif holds(number):
            continue
        raise ConfigError(text.format(name=name, value=value, rule=rule))


DEFAULT_METHOD = "rspnet"
"""The method of a `config` that names none."""
BARE_METHOD = "backbone"
"""What the `config` of a backbone alone has in the place of a method."""
