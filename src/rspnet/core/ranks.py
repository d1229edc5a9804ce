"""Which of several processes this is, and plain values exchanged among them; each is the identity in a single process.

Nothing here imports torch: a process that has not imported it is alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from rspnet.core.errors import OtherRankError, RSPNetError

Item = TypeVar("Item")


def launched_from_outside() -> bool:
    """Whether torchrun or SLURM started this process as one of several, or of one that may be joined by others."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def is_first_process() -> bool:
    """Whether this process will be rank 0; known before the ranks have met."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return int(next((rank for rank in ranks if rank is not None), "0")) == 0


def is_distributed() -> bool:
    """Whether a process group is up."""
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and bool(dist.is_initialized())


def world_size() -> int:
    """Number of processes that train together (1 without a process group)."""
    return int(sys.modules["torch.distributed"].get_world_size()) if is_distributed() else 1


def rank() -> int:
    """This process's number among them (0 without a process group)."""
    return int(sys.modules["torch.distributed"].get_rank()) if is_distributed() else 0


def gather_objects(value: Any) -> list[Any]:
    """Every rank's `value` (plain Python data), in rank order."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    sys.modules["torch.distributed"].all_gather_object(values, value)
    return values


def gather_in_turn(own: list[Item], total: int) -> list[Item]:
    """All `total` items, of which rank r made every one whose place is r modulo the ranks, in order (collective)."""
    by_rank = gather_objects(own)
    return [by_rank[place % len(by_rank)][place // len(by_rank)] for place in range(total)]


def raise_together(failure: RSPNetError | None) -> None:
    """End all ranks where any has failed (a collective call): the first of those reports, the others are silent.

    Raises:
        RSPNetError: this rank's failure, where it is the first.
        OtherRankError: another rank's.
    """
    failures = gather_objects(failure and (str(failure), failure.exit_code))
    first = next((number for number, other in enumerate(failures) if other is not None), None)
    if first is None:
        return
    if failure is not None and first == rank():
        raise failure
    raise OtherRankError(*failures[first])


def on_rank_zero(action: Callable[[], object]) -> None:
    """Do something on rank 0 while the others wait; where it fails, all fail (a collective call)."""
    failure = None
    if rank() == 0:
        try:
            action()
        except RSPNetError as error:
            failure = error
    raise_together(failure)
