"""How near the network of `rspnet embed` is to this machine's matrix product: one video's ten clips, one thread.

python benchmarks/network_of_embed.py [--model rspnet-small]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from rspnet.features.embedder import Embedder

SIDE, ROUNDS = 2048, 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="rspnet-small")
    options = parser.parse_args()
    torch.set_num_threads(1)
    embedder = Embedder(options.model, precision="fp32")
    clips = torch.randn(embedder.num_clips, 3, embedder.num_frames, embedder.size, embedder.size)
    clips = clips.contiguous(memory_format=torch.channels_last_3d)
    square = torch.randn(SIDE, SIDE)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            embedder._network.forward_described(clips)
        network = counter.get_total_flops() / cpu_seconds(lambda: embedder._network.forward_described(clips))
        product = 2 * SIDE**3 / cpu_seconds(lambda: square @ square)
    spent = counter.get_total_flops() / network
    print(f"{1e3 * spent:.0f} CPU ms, {network / 1e9:.0f} GFLOP/s, {network / product:.0%} of a matrix product's")


def cpu_seconds(work: Callable[[], object]) -> float:
    """The median of some rounds, after one that does not count."""
    work()
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return median(found)


if __name__ == "__main__":
    main()
