"""In which order do clips of a video belong? (after VCOP, Xu et al. 2019)"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from rspnet.core.errors import ConfigError
from rspnet.data.clip_tasks import ClipPlan, ClipTask, Speeds
from rspnet.pretext.classification import ClassificationMethod


@dataclass(frozen=True)
class OrderMethod(ClassificationMethod):
    """The order of clips as a class."""

    method = "order"
    summary = "puts clips of a video at speed 1 in order"

    order_clips: int = 3
    """Clips that method order puts in order (2 to 4); with half a clip between them all must fit a video."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.order_clips <= 4:
            raise ConfigError(f"--model.order_clips {self.order_clips}: must be 2, 3 or 4 (4 clips have 24 orders)")

    def clips(self, speeds: Speeds) -> ClipTask:  # noqa: ARG002
        """Clips at speed 1 that follow one another in the video, shown in any order."""
        orders = permutations(range(self.order_clips))
        return ClipTask((tuple(ClipPlan((1,) * self.order_clips, label, order) for label, order in enumerate(orders)),))
