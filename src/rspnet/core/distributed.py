"""The few collective operations on tensors that the method needs; each is the identity in a single process."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from rspnet.core.ranks import rank, world_size
from rspnet.core.transfer import send


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


def highest(value: int) -> int:
    """The highest `value` of all ranks, on every rank; exchanged between the hosts, so that none waits for its GPU."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return int(shared.item())
