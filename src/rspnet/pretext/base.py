"""What every pretext method is: a module from views of a batch to losses, a virtual rank at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, ClassVar, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from rspnet.core.errors import ConfigError
from rspnet.models.backbone import Backbone


class Output(Protocol):
    """A frozen dataclass of 0-dim tensors, all but `loss` detached."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def loss(self) -> Tensor:
        """What the backward pass starts from."""


Some = TypeVar("Some", bound=Output)
Rule = tuple[str, str, Callable[[Any], bool]]
"""(argument, what must hold, whether it holds)."""

RANGES: tuple[Rule, ...] = (
    ("feature_dim", "at least 1", lambda value: value >= 1),
    ("momentum", "from 0 to 1", lambda value: 0 <= value <= 1),
    ("temperature", "above 0", lambda value: value > 0),
    ("margin", "at least 0", lambda value: value >= 0),
    ("appearance_weight", "at least 0", lambda value: value >= 0),
    ("motion_weight", "at least 0", lambda value: value >= 0),
    ("virtual_ranks", "at least 1", lambda value: value >= 1),
)


class PretextModel(nn.Module):
    """Base of all pretext methods; `config` rebuilds a model of the same structure (`methods.create_method`).

    Args:
        config: the method's name (none: RSPNet) and the arguments that `create_method` is to give to the constructor.

    Raises:
        ConfigError: an argument out of its range (names, queue size: where they are used).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._config = dict(config)
        for name, rule, holds in RANGES:
            if name in config and not holds(config[name]):
                raise ConfigError(f"{name} is {config[name]}, but must be {rule}")

    @property
    def config(self) -> dict[str, Any]:
        """The method's name (none: RSPNet) and the constructor's arguments, as checkpoints keep them."""
        return dict(self._config)

    @property
    @abstractmethod
    def trained(self) -> nn.Module:
        """The network that the optimiser changes; its `backbone` is the thing pre-training is for."""

    @property
    def backbone(self) -> Backbone:
        """The trained network's backbone."""
        return cast(Backbone, self.trained.backbone)

    @abstractmethod
    def group_outputs(
        self, views: Any, *, step_seed: int, encode: Callable[..., Any] | None = None
    ) -> Iterator[Output]:
        """One training step, a virtual rank at a time; backward `loss / virtual_ranks` of each before the next.

        In eval mode nothing is changed.

        Args:
            views: the clips of this process's batch, whose size is a multiple of `virtual_ranks`.
            step_seed: the step's number or a seed derived from it, the same on every rank.
            encode: the trained network as Fabric or DDP wraps it, to use in place of the bare one.

        Raises:
            ConfigError: a batch that does not split into the virtual ranks.
        """


def arguments_of(scope: Mapping[str, Any]) -> dict[str, Any]:
    """A constructor's arguments by name, in its order, from its `locals()` before it makes variables of its own."""
    return {name: value for name, value in scope.items() if name not in ("self", "__class__")}


def check_groups(batch_size: int, groups: int) -> None:
    """Raise a ConfigError for a batch that does not split into the virtual ranks."""
    if batch_size % groups:
        raise ConfigError(f"a batch of {batch_size} clips does not split into virtual_ranks {groups}")


def mean_output(outputs: list[Some]) -> Some:
    """The mean of every field over the virtual ranks, with the graph of all of them."""
    names = [item.name for item in fields(outputs[0])]
    kind = type(outputs[0])
    return kind(**{name: torch.stack([getattr(out, name) for out in outputs]).mean() for name in names})
