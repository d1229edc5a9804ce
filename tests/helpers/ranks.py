"""A short training run in one of several gloo processes; importable by spawned children."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

STEPS, BATCH = 10, 16


def train(rank: int, world: int, virtual: int, folder: str) -> None:
    """10 steps on this rank's part of the batch; rank 0 saves losses and state."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store-{world}-{virtual}"
    if world > 1:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    torch.manual_seed(0)
    model = RSPNet("r3d_10_slim", queue_size=50, feature_dim=16, momentum=0.9, virtual_ranks=virtual).double()
    encode = DistributedDataParallel(model.encoder_q, broadcast_buffers=False) if world > 1 else None
    optimizer = torch.optim.SGD(model.encoder_q.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        whole = [torch.randn(BATCH, 3, 4, 16, 16, generator=generator, dtype=torch.float64) for _ in range(3)]
        views = SpeedViews(*(view.chunk(world)[rank] for view in whole))
        optimizer.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for out in model.group_outputs(views, step_seed=step, encode=encode):
            (out.loss / virtual).backward()
            total += out.loss.detach() / virtual
        optimizer.step()
        if world > 1:
            dist.all_reduce(total)
        losses.append(total.item() / world)
    torch.save({"losses": losses, "state": model.state_dict()}, f"{folder}/{world}-{virtual}-{rank}.pt")
    if world > 1:
        dist.destroy_process_group()
