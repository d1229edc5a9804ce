"""RSPNet's options, without torch; its model is in `rspnet.pretext.rspnet`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rspnet.core.errors import ConfigError
from rspnet.data.clip_tasks import SpeedPairs, Speeds
from rspnet.pretext.arguments import DEFAULT_METHOD
from rspnet.pretext.contrast import ContrastMethod
from rspnet.pretext.method import Panel
from rspnet.pretext.model_type import PretextModel


@dataclass(frozen=True)
class RSPNetMethod(ContrastMethod):
    """Relative speed perception and appearance-focused video instance discrimination (the paper)."""

    method = DEFAULT_METHOD
    summary = "RSP and A-VID (the paper), weighted below"
    shown: ClassVar[Mapping[str, str]] = {
        "loss": "loss",
        "appearance_loss": "A-VID",
        "motion_loss": "RSP",
        "motion_accuracy": "RSP acc",
    }
    elsewhere = (("appearance_weight", "motion_weight"), "weigh RSP and A-VID; {method} has neither")

    margin: float = 2.0
    """Margin of the RSP loss, in units of cosine / temperature (2.0 x 0.07 = 0.14 on the cosines)."""
    appearance_weight: float = 1.0
    """Weight of the A-VID loss."""
    motion_weight: float = 1.0
    """Weight of the RSP loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.appearance_weight == 0 and self.motion_weight == 0:
            raise ConfigError("--model.appearance_weight and motion_weight are both 0: nothing to learn")

    @property
    def discriminates(self) -> bool:
        """Whether A-VID counts."""
        return self.appearance_weight > 0

    def clips(self, speeds: Speeds) -> SpeedPairs:
        """A query and two keys at two speeds."""
        return SpeedPairs(speeds)

    @classmethod
    def build(cls, backbone: str, **arguments: Any) -> PretextModel:
        """See `RSPNet`."""
        from rspnet.pretext.rspnet import RSPNet

        return RSPNet(backbone, **arguments)

    def panels(self, speeds: Speeds) -> tuple[Panel, ...]:  # noqa: ARG002
        """Both losses, and how well both questions are answered."""
        found = {f"appearance_top{k}_{key}": f"top{k}, {key} speed" for k in (1, 5) for key in ("same", "other")}
        return (
            Panel("Loss", {"loss": "both", "appearance_loss": "A-VID", "motion_loss": "RSP"}),
            Panel("RSP accuracy (chance 0.5)", {"motion_accuracy": "RSP accuracy"}, 0.5),
            Panel("A-VID accuracy: own video's key among the queue's first", found, self.chance),
        )
