"""Is a clip sped up? (after SpeedNet, Benaim et al. 2020)"""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.data.clip_tasks import ClipPlan, ClipTask, Speeds
from rspnet.pretext.classification_method import ClassificationMethod


@dataclass(frozen=True)
class SpeedNetMethod(ClassificationMethod):
    """Sped up or not."""

    method = "speednet"
    summary = "predicts whether a clip is sped up"

    def clips(self, speeds: Speeds) -> ClipTask:
        """One clip; half of each batch plays at the base speed, half at a fast one that is drawn for the batch."""
        return ClipTask(tuple((ClipPlan((speeds.base,), 0), ClipPlan((fast,), 1)) for fast in speeds.fast))
