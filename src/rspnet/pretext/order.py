"""In which order do clips of a video belong? (after VCOP, Xu et al. 2019)"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from rspnet.data.clip_tasks import ClipPlan, ClipTask, Speeds
from rspnet.pretext.classification_method import ClassificationMethod

ORDER_CLIPS = 3
"""Clips that are put in order (3! = 6 classes); with half a clip between them all must fit a video."""


@dataclass(frozen=True)
class OrderMethod(ClassificationMethod):
    """The order of clips as a class."""

    method = "order"
    summary = "puts clips of a video at speed 1 in order"

    def clips(self, speeds: Speeds) -> ClipTask:  # noqa: ARG002
        """Clips at speed 1 that follow one another in the video, shown in any order."""
        orders = permutations(range(ORDER_CLIPS))
        return ClipTask((tuple(ClipPlan((1,) * ORDER_CLIPS, label, order) for label, order in enumerate(orders)),))
