"""MoCo's options, without torch; its model is in `rspnet.pretext.moco`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rspnet.data.clip_tasks import ClipPlan, ClipTask, Speeds
from rspnet.pretext.contrast import ContrastMethod
from rspnet.pretext.method import Panel
from rspnet.pretext.model_type import PretextModel


@dataclass(frozen=True)
class MoCoMethod(ContrastMethod):
    """Instance discrimination at the base speed (MoCo)."""

    method = "moco"
    summary = "is instance discrimination at the base speed"
    shown: ClassVar[Mapping[str, str]] = {"loss": "loss", "top1": "top-1"}

    def clips(self, speeds: Speeds) -> ClipTask:
        """Two clips of a video at the base speed; no label."""
        return ClipTask(((ClipPlan((speeds.base, speeds.base)),),))

    @classmethod
    def build(cls, backbone: str, **arguments: Any) -> PretextModel:
        """See `MoCo`."""
        from rspnet.pretext.moco import MoCo

        return MoCo(backbone, **arguments)

    def panels(self, speeds: Speeds) -> tuple[Panel, ...]:
        """The loss, and how often the own video's key is found."""
        found = {"top1": "top1", "top5": "top5"}
        title = "Accuracy: own video's key among the queue's first"
        return (*super().panels(speeds), Panel(title, found, self.chance))
