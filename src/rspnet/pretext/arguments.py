"""What options of methods and arguments of models may be, without torch: the help of `rspnet pretrain` needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rspnet.core.errors import ConfigError

Rule = tuple[str, str, Callable[[Any], bool]]
"""(argument, what must hold, whether it holds)."""

RANGES: tuple[Rule, ...] = (
    ("feature_dim", "must be at least 1", lambda value: value >= 1),
    ("queue_size", "must be at least 1", lambda value: value >= 1),
    ("momentum", "must be in 0..1", lambda value: 0 <= value <= 1),
    ("temperature", "must be above 0", lambda value: value > 0),
    ("margin", "must not be negative", lambda value: value >= 0),
    ("appearance_weight", "must not be negative", lambda value: value >= 0),
    ("motion_weight", "must not be negative", lambda value: value >= 0),
    ("virtual_ranks", "must be at least 1", lambda value: value >= 1),
)


def check_ranges(values: Mapping[str, Any], *, text: str) -> None:
    """Raise a ConfigError for the first value out of its range.

    Args:
        values: arguments by name; those without a rule in `RANGES` are not looked at.
        text: the message, with {name}, {value} and {rule}.
    """
    for name, rule, holds in RANGES:
        if name in values and not holds(values[name]):
            raise ConfigError(text.format(name=name, value=values[name], rule=rule))


DEFAULT_METHOD = "rspnet"
"""The method of a `config` that names none."""
BARE_METHOD = "backbone"
"""What the `config` of a backbone alone has in the place of a method."""
