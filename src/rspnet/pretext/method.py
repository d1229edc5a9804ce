"""What a pretext method is: its options, the clips it wants, its model, and how its numbers are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from rspnet.core.errors import ConfigError
from rspnet.core.plugins import plugins_among
from rspnet.data.clip_tasks import ClipTask, SpeedPairs, Speeds
from rspnet.models.kinds import InputKind
from rspnet.models.registry import backbone_names
from rspnet.pretext.arguments import check_ranges
from rspnet.pretext.model_type import PretextModel


@dataclass(frozen=True)
class Panel:
    """One drawing of the learning curves in a report.

    Attributes:
        title: above the drawing.
        curves: metrics drawn in it, by name, with their labels.
        chance: what guessing would give, drawn as a dotted line.
    """

    title: str
    curves: Mapping[str, str]
    chance: float | None = None


@dataclass(frozen=True)
class PretextMethod:
    """A pretext method and the values of its options.

    A method is a frozen dataclass derived from this one and registered (`rspnet.register_method`). It sets `method`
    and `summary`; each field that it adds is an option `--model.FIELD` of `rspnet pretrain`, and the docstring below
    the field is the option's help. It defines `clips` and `build`, and where its model's arguments are not just its
    own fields, `arguments`.

    Attributes:
        method: its name, as users and checkpoints write it.
        summary: what is learned, for the help of `--model.method`.
        shown: metrics on the progress line, by name, with their labels.
        elsewhere: options (names, and a sentence with {method}) that must stay at their defaults under other methods.
    """

    method: str = field(init=False, default="")
    backbone: str = "r3d_18"
    """Video network that is learned."""
    input: InputKind = "rgb"
    """What the backbone sees. rgb: frames; difference: temporal differences of frames (ours; learns speed in minutes);
    scaled_difference: differences of the clip scaled to one contrast (ours; jitter hides less of the speed);
    both: differences together with the frames (ours; scenery is there to be learned, too);
    moving: differences together with the colours of what moves (ours; also shows how things look)."""
    virtual_ranks: int = 1
    """Compute what this many ranks would: groups for batch norm and shuffle-BN; also accumulates gradients."""

    summary: ClassVar[str] = ""
    shown: ClassVar[Mapping[str, str]] = {"loss": "loss"}
    elsewhere: ClassVar[tuple[tuple[str, ...], str]] = ((), "")

    def __post_init__(self) -> None:
        if self.backbone not in backbone_names():
            raise ConfigError(f"--model.backbone {self.backbone!r}: must be one of {', '.join(backbone_names())}")
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        check_ranges(values, text="--model.{name} {value}: {rule}")

    def clips(self, speeds: Speeds) -> SpeedPairs | ClipTask:
        """Which clips of a video one sample shows.

        Args:
            speeds: those that the user asks for (`--data.speeds` and `--data.base_speed`).
        """
        raise NotImplementedError

    @classmethod
    def build(cls, backbone: str, **arguments: Any) -> PretextModel:
        """A freshly initialised model, of the arguments that checkpoints keep (`PretextModel.config`).

        Args:
            backbone: name of the network.
            arguments: input, virtual_ranks, num_frames, size, stride, and those that `arguments` gives.

        Raises:
            ConfigError: an argument out of its range.
            TypeError: arguments that the model does not have.
        """
        raise NotImplementedError

    def arguments(self, speeds: Speeds) -> dict[str, Any]:  # noqa: ARG002
        """The arguments of `build` in addition to those of every method; by default the method's own options."""
        shared = {item.name for item in fields(PretextMethod)}
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in shared}

    def create(self, *, speeds: Speeds, num_frames: int, size: int) -> PretextModel:
        """A freshly initialised model (from torch's global random state) for clips of this shape and these speeds."""
        shared = {"input": self.input, "virtual_ranks": self.virtual_ranks}
        clip = {"num_frames": num_frames, "size": size, "stride": speeds.base}
        return self.rebuild(self.backbone, **shared, **clip, **self.arguments(speeds))

    @classmethod
    def rebuild(cls, backbone: str, **arguments: Any) -> PretextModel:
        """The model of `build`, which then knows its method's name, the plug-in that it needs, and all arguments.

        Raises:
            ConfigError: `build` does not take one of them.
        """
        try:
            model = cls.build(backbone, **arguments)
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            raise ConfigError(f"method {cls.method!r}: its model does not take all its options: {error}") from error
        model.name_method(cls.method)
        model.keep_arguments(arguments)
        model.plugins = tuple(plugins_among(cls.__module__))
        return model

    def notes(self, num_videos: int) -> tuple[str, ...]:  # noqa: ARG002
        """What a user should know before a training on so many videos."""
        return ()

    def panels(self, speeds: Speeds) -> tuple[Panel, ...]:  # noqa: ARG002
        """How a report draws the learning curves; metrics that stand in none get a drawing each."""
        return (Panel("Loss", {"loss": "loss"}),)
