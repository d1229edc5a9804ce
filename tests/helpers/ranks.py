"""A short training run in one of several gloo processes; importable by children."""

from typing import Any

import torch
import torch.distributed as dist
from helpers.narrow import NARROW
from torch.nn.parallel import DistributedDataParallel

from rspnet.core.distributed import gather_batch
from rspnet.core.leaving import end_process_group
from rspnet.pretext.create import create_method
from rspnet.pretext.shuffle import global_permutation, shuffle, unshuffle
from rspnet.pretext.speed import ClipViews, SpeedViews

STEPS, BATCH = 4, 16
CONTRAST = {"queue_size": 50, "feature_dim": 16, "momentum": 0.9}
CONFIGS: dict[str, dict[str, Any]] = {
    "rspnet": CONTRAST,
    "moco": {"method": "moco", **CONTRAST},
    "order": {"method": "order", "num_classes": 2, "num_clips": 2},
}


def train(rank: int, world: int, virtual: int, folder: str, method: str = "rspnet", steps: int = STEPS) -> None:
    """Some steps on this rank's part of the batch; every rank saves losses and state."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store-{method}-{world}-{virtual}"
    if world > 1:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    content = trained(rank, world, virtual, method, steps)
    torch.save(content, f"{folder}/{method}-{world}-{virtual}-{rank}.pt")
    if world > 1:
        exchange(rank, world)
        end_process_group()


def trained(rank: int, world: int, virtual: int, method: str, steps: int) -> dict[str, Any]:
    """Losses and state after the steps; the network wrapped for the group is freed here, before the group ends."""
    torch.manual_seed(0)
    model = create_method({"backbone": NARROW, "virtual_ranks": virtual, **CONFIGS[method]}).double()
    encode = DistributedDataParallel(model.trained, broadcast_buffers=False) if world > 1 else None
    optimizer = torch.optim.SGD(model.trained.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        whole = [torch.randn(BATCH, 3, 4, 16, 16, generator=generator, dtype=torch.float64) for _ in range(3)]
        mine = tuple(view.chunk(world)[rank] for view in whole)
        label = torch.randint(2, (BATCH,), generator=generator).chunk(world)[rank]
        views = SpeedViews(*mine) if method == "rspnet" else ClipViews(mine[:2], label)
        optimizer.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for out in model.group_outputs(views, step_seed=step, encode=encode):
            (out.loss / virtual).backward()
            total += out.loss.detach() / virtual
        model.finish_step()
        optimizer.step()
        if world > 1:
            dist.all_reduce(total)
        losses.append(total.item() / world)
    return {"losses": losses, "state": model.state_dict()}


def exchange(rank: int, world: int) -> None:
    """Rows go to the ranks that want them as if everyone had all of them."""
    own = torch.randn(5, 3, 2, 4, 4, generator=torch.Generator().manual_seed(rank))
    for clips in (own, own.contiguous(memory_format=torch.channels_last_3d)):
        whole = gather_batch(clips)
        for seed in range(3):
            rows = global_permutation(5 * world, step_seed=seed, stream="test")
            mixed = shuffle(clips, rows)
            assert torch.equal(mixed, whole[rows[rank * 5 : rank * 5 + 5]])
            assert mixed.stride() == clips.stride()
            assert torch.equal(unshuffle(mixed, rows), clips)


def train_baselines(rank: int, world: int, virtual: int, folder: str) -> None:
    """The same, three steps of the methods beside RSPNet."""
    for method in ("moco", "order"):
        train(rank, world, virtual, folder, method, steps=3)
