"""What methods with a momentum encoder and a queue of keys share."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.core.counts import counted
from rspnet.models.kinds import HeadKind
from rspnet.pretext.method import PretextMethod

MANY_FALSE_NEGATIVES = 0.25


@dataclass(frozen=True)
class ContrastMethod(PretextMethod):
    """Options of methods that compare a query with keys."""

    head: HeadKind = "linear"
    """Projection heads g_a and g_m."""
    queue_size: int = 16384
    """Past keys kept as negatives of A-VID, K."""
    momentum: float = 0.999
    """Momentum m of the key encoder."""
    temperature: float = 0.07
    """Temperature of both losses."""

    @property
    def discriminates(self) -> bool:
        """Whether the loss has the queue's keys as negatives."""
        return True

    @property
    def chance(self) -> float:
        """How often guessing finds the own video's key among the queue's."""
        return 1 / (1 + self.queue_size)

    def notes(self, num_videos: int) -> tuple[str, ...]:
        """A queue that holds many keys of the same videos."""
        if not self.discriminates or self.queue_size <= MANY_FALSE_NEGATIVES * num_videos:
            return ()
        return (
            f"the queue of {counted(self.queue_size, 'key')} is more than a quarter of "
            f"{counted(num_videos, 'video')}: it fills with "
            "keys of the same videos (false negatives); lower --model.queue_size",
        )
