"""The videos that a training on several ranks leaves out: each rank hears of all of them, so that all end together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rspnet.core.errors import OtherRankError, TooManySkippedError
from rspnet.core.ranks import gather_objects, rank
from rspnet.data.skipped import Skip, SkipLog

Batch = TypeVar("Batch")


class SharedSkips:
    """The skip log of a run, shared among its ranks every few steps.

    Args:
        log: of this rank; after a sharing it holds the skips of all.
        world_size: number of ranks.
        share_every: steps between two sharings; one rank alone notes its skips at every step.
    """

    def __init__(self, log: SkipLog, *, world_size: int, share_every: int) -> None:
        self.log = log
        self._every = share_every if world_size > 1 else 1
        self._pending: list[Skip] = []

    def note(self, skipped: Iterable[Skip], step: int) -> None:
        """Remember what this rank's batch skipped; every few steps send it to all ranks.

        Raises:
            TooManySkippedError: on every rank, once the limit is passed.
        """
        self._pending += skipped
        if step % self._every == 0:
            self.share()

    def share(self) -> None:
        """Send it to all ranks now (a collective call).

        Raises:
            TooManySkippedError: on every rank, once the limit is passed (OtherRankError on all but the first).
        """
        pending, self._pending = gather_objects(self._pending), []
        try:
            self.log.add(skip for part in pending for skip in part)
        except TooManySkippedError as error:
            if rank() == 0:
                raise
            raise OtherRankError(str(error), error.exit_code) from None

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Iterate; the videos of a batch that none could be found for are remembered, too."""
        try:
            yield from batches
        except TooManySkippedError as error:
            self._pending += error.skipped
            raise
