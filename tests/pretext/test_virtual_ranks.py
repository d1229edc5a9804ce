"""N virtual ranks in one process are N gloo processes: losses, weights, statistics and queue after 10 SGD steps."""

import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

STEPS, BATCH = 10, 8


def train(rank: int, world: int, virtual: int, folder: str) -> None:
    """10 steps on this rank's part of the batch; rank 0 saves losses and state."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store-{world}-{virtual}"
    if world > 1:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    torch.manual_seed(0)
    model = RSPNet("r3d_10_slim", queue_size=20, feature_dim=16, momentum=0.9, virtual_ranks=virtual).double()
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


@pytest.fixture(scope="module")
def runs() -> dict[str, dict]:
    """What each layout of 4 groups, and 2 groups, of the same batch ends with."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        for world, virtual in ((1, 2), (1, 4), (1, 1)):
            train(0, world, virtual, folder)
        for virtual in (1, 2):
            mp.spawn(train, args=(2, virtual, folder), nprocs=2)
        torch.set_num_threads(threads)
        return {path.stem: torch.load(path) for path in Path(folder).glob("*.pt")}


@pytest.mark.parametrize(("processes", "virtual"), [("2-1-0", "1-2-0"), ("2-1-1", "1-2-0"), ("2-2-0", "1-4-0")])
def test_equal(runs: dict[str, dict], processes: str, virtual: str) -> None:
    real, alone = runs[processes], runs[virtual]
    assert real["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    for key, value in alone["state"].items():
        torch.testing.assert_close(real["state"][key], value, rtol=0, atol=1e-5, msg=key)
    assert real["state"]["queue.position"].item() == STEPS * BATCH % 20


def test_the_comparison_can_fail(runs: dict[str, dict]) -> None:
    assert runs["1-1-0"]["losses"] != pytest.approx(runs["1-2-0"]["losses"], abs=1e-3)
