"""Options that earlier versions had: the values that are built in now, and old runs that were made with others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rspnet.core.errors import ConfigError

BUILT_IN: Mapping[str, Any] = {
    "clips.balanced": False,
    "clips.crop_area": [0.25, 1.0],
    "data.split_seed": 0,
    "model.label_smoothing": 0.0,
    "model.layer_decay": 1.0,
    "model.order_clips": 3,
    "optim.momentum": 0.9,
}
"""Option that is gone -> what every run does now."""


def other_than_built_in(saved: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(option, old, new) of every option that is gone and that a saved configuration holds."""
    for option, now in BUILT_IN.items():
        section, name = option.split(".")
        if name in saved.get(section, {}):
            yield option, saved[section][name], now


def refuse_other_split(saved: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for a run whose training and test videos were drawn by a seed that can no longer be given."""
    for option, old, now in other_than_built_in(saved):
        if option == "data.split_seed" and old != now:
            raise ConfigError(
                f"the run was made with --{option} {old}, which this version does not have: its test videos would be "
                "others; evaluate it with rspnet 0.1, or train it again with --data.fold"
            )
