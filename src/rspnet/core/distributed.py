"""The few collective operations the method needs; each is the identity in a single process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rspnet.core.errors import OtherRankError, RSPNetError
from rspnet.core.transfer import send

Item = TypeVar("Item")


def is_distributed() -> bool:
    """Whether a process group is up."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Number of processes that train together (1 without a process group)."""
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """This process's number among them (0 without a process group)."""
    return dist.get_rank() if is_distributed() else 0


@torch.no_grad()
def gather_batch(tensor: Tensor) -> Tensor:
    """Concatenate equally shaped [B, ...] tensors of all ranks in rank order: [world * B, ...], without gradient."""
    if world_size() == 1:
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


@torch.no_grad()
def rows_of_ranks(tensor: Tensor, rows: Tensor) -> Tensor:
    """Rows of equally shaped [B, ...] tensors of all ranks: each travels to the rank that wants it, and to no other.

    Args:
        tensor: this rank's.
        rows: int64 [world * B] on the CPU, the same on every rank: numbers of rows counted through in rank order, each
            once. Rank r gets those of its part, the r-th of `world`, in their order: [B, ...], contiguous.
    """
    ranks, own, count = world_size(), rank(), len(tensor)
    assert len(rows) == ranks * count, "every rank must hold the same number of samples"
    if ranks == 1:
        return tensor[send(rows, tensor.device)].contiguous()
    wanted = rows.view(ranks, count)
    owner = torch.div(wanted, count, rounding_mode="floor")
    leaving = tensor[send(wanted[owner == own] - own * count, tensor.device)].contiguous()
    arriving = torch.empty_like(leaving)
    dist.all_to_all_single(
        arriving,
        leaving,
        output_split_sizes=torch.bincount(owner[own], minlength=ranks).tolist(),
        input_split_sizes=(owner == own).sum(dim=1).tolist(),
    )
    # They arrive by rank, and of one rank in the order in which they are wanted.
    place = torch.argsort(torch.argsort(owner[own], stable=True))
    return arriving[send(place, tensor.device)]


@torch.no_grad()
def average_in_place(tensors: list[Tensor]) -> None:
    """Replace floating tensors by their mean over ranks, in one collective call."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def gather_objects(value: Any) -> list[Any]:
    """Every rank's `value` (plain Python data), in rank order."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def gather_in_turn(own: list[Item], total: int) -> list[Item]:
    """All `total` items, of which rank r made every one whose place is r modulo the ranks, in order (collective)."""
    by_rank = gather_objects(own)
    return [by_rank[place % len(by_rank)][place // len(by_rank)] for place in range(total)]


def highest(value: int) -> int:
    """The highest `value` of all ranks, on every rank; exchanged between the hosts, so that none waits for its GPU."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return int(shared.item())


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
