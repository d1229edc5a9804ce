"""What a step of learning on small compute costs by the size of its clips; what sharing key passes or decodes saves.

    OMP_NUM_THREADS=1 python benchmarks/step_costs.py --videos HUMAN_MOTION/UCF-101

CPU seconds of one thread, medians, the ways taken in turns in one process. Three tables: reading, augmenting and
training a batch; both key passes in one of twice the clips; several pairs of windows of a video from one decode.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import torch

from rspnet.config.pretrain import PairDataConfig
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.batches import PairBatch, collate, make_views
from rspnet.data.sampler import ClipSize, PairRequest, PairSampler
from rspnet.engine.optim import make_optimizer
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews
from rspnet.runs.plan import pair_dataset

SIZES = (ClipSize(8, 48), ClipSize(8, 32), ClipSize(4, 48), ClipSize(4, 32))
BATCH, TURNS = 32, 9
PER_DECODE = (1, 2, 4)
VIDEOS = 100


def seconds_of(routes: Mapping[str, Callable[[], object]], *, turns: int) -> dict[str, float]:
    """Median CPU seconds of each route, all in turns, after one warm-up."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for turn in range(turns + 1):
        for name, run in routes.items():
            start = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def head(*columns: str) -> None:
    """Begin a table."""
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")


def passes(backbone: str, kind: str, clip: ClipSize, batch: int) -> dict[str, Callable[[], object]]:
    """A whole step on random clips, its two key passes, and both in one."""
    model = RSPNet(backbone, input=kind, queue_size=192)
    model = model.to(memory_format=torch.channels_last_3d).train()
    optimizer = make_optimizer(model.trained.parameters(), name="adamw", lr=1e-3, momentum=0.9, weight_decay=1e-4)
    shape = (batch, 3, clip.num_frames, clip.size, clip.size)
    views = SpeedViews(*(torch.randn(shape).contiguous(memory_format=torch.channels_last_3d) for _ in range(3)))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            output = model(views)
        output.loss.backward()
        optimizer.step()

    @torch.no_grad()
    def keys(*parts: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            for part in parts:
                model.encoder_k(part)

    return {
        "step": step,
        "two": lambda: keys(views.key_other, views.key_same),
        "one": lambda: keys(torch.cat([views.key_other, views.key_same])),
    }


def by_size(records: list[VideoRecord]) -> None:
    """What a batch costs, by the size of its clips; the window is that of 8 frames."""
    head("frames x size", f"reading {BATCH} videos", "augmenting", "training r3d_10_slim", "together")
    for clip in SIZES:
        dataset = pair_dataset(PairDataConfig(root="videos", num_frames=8, size=48), records, seed=0)
        stream = PairSampler(
            len(records), batch_size=BATCH, seed=0, speeds=[2], total_steps=99, coarse=clip, coarse_steps=99
        )
        requests, read = iter(stream), list[PairBatch]()

        def reading(requests=requests, dataset=dataset, read=read) -> None:
            batch = collate([dataset[request] for request in next(requests)])
            assert isinstance(batch, PairBatch)
            read.append(batch)

        routes = {"read": reading, "augment": lambda read=read: make_views(read[-1])}
        cost = seconds_of(routes | {"step": passes("r3d_10_slim", "difference", clip, BATCH)["step"]}, turns=TURNS)
        cells = [cost["read"], cost["augment"], cost["step"], sum(cost.values())]
        print(
            f"| {clip.num_frames} x {clip.size}² | " + " | ".join(f"{value:.3f} s" for value in cells) + " |",
            flush=True,
        )


def key_passes() -> None:
    """What sharing the key passes would save."""
    head("network, clips", "a step", "two key passes", "one of all clips", "saved of a step")
    for backbone, kind, clip, batch in (
        ("r3d_10_slim", "difference", ClipSize(8, 48), 32),
        ("r3d_10_slim", "difference", ClipSize(4, 32), 32),
        ("r3d_18", "rgb", ClipSize(16, 112), 4),
    ):
        cost = seconds_of(passes(backbone, kind, clip, batch), turns=TURNS)
        saved = 100 * (cost["two"] - cost["one"]) / cost["step"]
        cells = " | ".join(f"{cost[name]:.3f} s" for name in ("step", "two", "one"))
        print(f"| {backbone}, {batch} x {clip.num_frames} x {clip.size}² | {cells} | {saved:+.1f} % |", flush=True)


def windows_of_one_decode(records: list[VideoRecord]) -> None:
    """What a sample costs to read when several pairs of windows are drawn from one decode."""
    head("frames x size", *(f"{many} a decode" for many in PER_DECODE))
    for clip in SIZES:
        dataset = pair_dataset(PairDataConfig(root="videos", num_frames=8, size=48), records, seed=0)

        def read(many: int, dataset=dataset, clip=clip) -> None:
            step = max(1, len(records) // VIDEOS)
            for index in range(0, VIDEOS * step, step):
                speeds = [1 + (index // step + repeat) % 2 for repeat in range(many)]
                dataset.samples([PairRequest(index, 0, v, 3 - v, repeat, clip) for repeat, v in enumerate(speeds)], {})

        cost = seconds_of({str(many): lambda many=many: read(many) for many in PER_DECODE}, turns=3)
        cells = " | ".join(f"{1e3 * cost[str(many)] / many / VIDEOS:.2f} ms a sample" for many in PER_DECODE)
        print(f"| {clip.num_frames} x {clip.size}² | {cells} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", required=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = read_folder(parser.parse_args().videos)
    by_size(found)
    key_passes()
    windows_of_one_decode(found)
