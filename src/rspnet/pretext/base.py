"""What every pretext model is: a module from views of a batch to losses, a virtual rank at a time."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.plugins import plugins_among
from rspnet.models.backbone import Backbone
from rspnet.models.exported import FeatureNet, save_exported
from rspnet.models.registry import backbone_plugins
from rspnet.pretext.arguments import DEFAULT_METHOD, check_ranges
from rspnet.pretext.exporting import describe_network
from rspnet.pretext.speed import num_samples, split_views
from rspnet.pretext.statistics import GroupStatistics, average_statistics_over_ranks


class Output(Protocol):
    """A frozen dataclass of 0-dim tensors, all but `loss` detached."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def loss(self) -> Tensor:
        """What the backward pass starts from."""


Some = TypeVar("Some", bound=Output)


class PretextModel(nn.Module):
    """Base of all pretext models; `config` rebuilds a model of the same structure (`create.create_method`).

    A subclass builds its network, names it in `trained`, and gives the losses of one virtual rank in `group_output`.
    Where something comes before all virtual ranks (keys of a momentum encoder), it overrides `prepare_step`; where
    something comes after them (a queue), `finish_step`.

    Attributes:
        plugins: the module that defines its method, where that is none of this package's.
        fps: frames a second at which its videos are read by time, or None for their native frames.

    Args:
        config: the method's name as `method` (none: RSPNet) and the constructor's arguments by name.

    Raises:
        ConfigError: an argument out of its range.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self._config = config
        self.plugins: tuple[str, ...] = ()
        self.fps: float | None = None
        self._statistics: GroupStatistics | None = None
        check_ranges(config, text="{name} is {value!r}, but {rule}")

    @property
    def config(self) -> dict[str, Any]:
        """The method's name (none: RSPNet) and the constructor's arguments, as checkpoints keep them, `fps`, and the
        modules from outside this package that are needed to build it as `plugins` (none: no such entry)."""
        needed = plugins_among(*self.plugins, *backbone_plugins(self._config["backbone"]))
        besides = {"fps": self.fps, "plugins": needed}
        return {**self._config, **{name: value for name, value in besides.items() if value}}

    def keep_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Note arguments that the constructor did not pass on (a subclass from outside this package): checkpoints need
        all of them."""
        self._config |= {name: value for name, value in arguments.items() if name not in self._config}

    def name_method(self, method: str) -> None:
        """Note the method's name where the constructor did not (a subclass of RSPNet from outside this package)."""
        if method != self._config.get("method", DEFAULT_METHOD):
            self._config["method"] = method

    @property
    def virtual_ranks(self) -> int:
        """Groups a process cuts its batch into."""
        return int(self._config.get("virtual_ranks", 1))

    @property
    @abstractmethod
    def trained(self) -> nn.Module:
        """The network that the optimiser changes; its `backbone` is the thing pre-training is for."""

    @property
    def backbone(self) -> Backbone:
        """The trained network's backbone."""
        return cast(Backbone, self.trained.backbone)

    def exported(self) -> tuple[FeatureNet, dict[str, Any]]:
        """The part of the model that an export holds (here the backbone), and its description (`build_network`)."""
        config = self._config
        common = describe_network(self.backbone, num_frames=config["num_frames"], size=config["size"])
        common |= {"stride": config.get("stride", 1)} | ({"fps": self.fps} if self.fps else {})
        return FeatureNet(self.backbone), {"kind": "backbone"} | common

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the trained network to a folder, as `rspnet export` does: `model.safetensors` and `model.json`.

        A key encoder, the queue and the training settings are left out; a checkpoint keeps them.

        Raises:
            ConfigError: safetensors is not installed.
        """
        network, description = self.exported()
        save_exported(network, folder, description)

    def prepare_step(self, views: Any, *, step_seed: int) -> Sequence[Any]:  # noqa: ARG002
        """What comes before the first virtual rank. Returns what `group_output` gets of each: its part of the views.

        Args:
            views: the clips of this process's batch.
            step_seed: see `group_outputs`.
        """
        return split_views(views, self.virtual_ranks)

    @abstractmethod
    def group_output(self, part: Any, encode: Callable[..., Any]) -> Output:
        """Losses and metrics of one virtual rank.

        Args:
            part: what `prepare_step` returned for it.
            encode: the trained network, perhaps wrapped by DDP.
        """

    def group_outputs(
        self, views: Any, *, step_seed: int, encode: Callable[..., Any] | None = None
    ) -> Iterator[Output]:
        """One training step, a virtual rank at a time; backward `loss / virtual_ranks` of each before the next.

        What comes before them all (`prepare_step`) is done when the first output is asked for; `finish_step` is to be
        called after the last backward pass. In eval mode nothing is changed: the same numbers for held-out clips.

        Args:
            views: clips of this process [B, 3, T, H, W], B a multiple of `virtual_ranks` and equal on all ranks.
            step_seed: the step's number or a seed derived from it, the same on every rank.
            encode: the trained network as Fabric or DDP wraps it, to use in place of the bare one.

        Raises:
            ConfigError: a batch that does not split into the virtual ranks.
        """
        groups = self.virtual_ranks
        if num_samples(views) % groups:
            raise ConfigError(
                f"a batch of {counted(num_samples(views), 'clip')} does not split into virtual_ranks {groups}"
            )
        parts = self.prepare_step(views, step_seed=step_seed)
        self._statistics = GroupStatistics(self.trained, groups=groups)
        for part in parts:
            with self._statistics.group():
                output = self.group_output(part, encode or self.trained)
            yield output

    def finish_step(self) -> None:
        """End a training step after its last backward pass (a collective call): batch norms average their running
        statistics over virtual and real ranks. A step that is not finished leaves them as they were."""
        if self._statistics is not None:
            self._statistics.finish()
            self._statistics = None
        if self.training:
            average_statistics_over_ranks(self)

    def forward(self, views: Any, *, step_seed: int = 0) -> Output:
        """The mean output over the virtual ranks, with the graph of all of them, of a finished step."""
        outputs = list(self.group_outputs(views, step_seed=step_seed))
        self.finish_step()
        return mean_output(outputs)


def mean_output(outputs: list[Some]) -> Some:
    """The mean of every field over the virtual ranks, with the graph of all of them."""
    names = [item.name for item in fields(outputs[0])]
    kind = type(outputs[0])
    return kind(**{name: torch.stack([getattr(out, name) for out in outputs]).mean() for name in names})
