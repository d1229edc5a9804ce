"""Methods that are classification, without torch; their model is in `rspnet.pretext.classification`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rspnet.data.clip_tasks import ClipTask, Speeds
from rspnet.pretext.method import Panel, PretextMethod
from rspnet.pretext.model_type import PretextModel


@dataclass(frozen=True)
class ClassificationMethod(PretextMethod):
    """A method whose `clips` are a `ClipTask` with labels: a backbone with a classifier is all it needs."""

    shown: ClassVar[Mapping[str, str]] = {"loss": "loss", "accuracy": "accuracy"}

    def clips(self, speeds: Speeds) -> ClipTask:
        """See `PretextMethod.clips`."""
        raise NotImplementedError

    @classmethod
    def build(cls, backbone: str, **arguments: Any) -> PretextModel:
        """See `ClipClassification`."""
        from rspnet.pretext.classification import ClipClassification

        return ClipClassification(cls.method, backbone, **arguments)

    def arguments(self, speeds: Speeds) -> dict[str, Any]:
        """Classes and clips, as the task has them."""
        task = self.clips(speeds)
        return {"num_classes": task.num_classes, "num_clips": task.num_clips}

    def panels(self, speeds: Speeds) -> tuple[Panel, ...]:
        """Loss and accuracy."""
        classes = self.clips(speeds).num_classes
        title = f"Training accuracy (chance 1 in {classes})"
        return (*super().panels(speeds), Panel(title, {"accuracy": "accuracy"}, 1 / classes))
