"""Pace prediction: at which of several speeds does a clip play? (Wang et al. 2020)

It is absolute speed, the counterpart of the paper's relative speed.
"""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.data.clip_tasks import ClipPlan, ClipTask, Speeds
from rspnet.pretext.classification_method import ClassificationMethod


@dataclass(frozen=True)
class PaceMethod(ClassificationMethod):
    """The speed of a clip as a class."""

    method = "pace"
    summary = "predicts a clip's speed among the base speed and data.speeds"

    def clips(self, speeds: Speeds) -> ClipTask:
        """One clip, whose speed is the base speed or a fast one."""
        return ClipTask((tuple(ClipPlan((speed,), label) for label, speed in enumerate(speeds.all)),))
