"""Whether speed got lost: runs short benches and compares their ratios (never times) with the committed ones.

    python benchmarks/guard.py            # fails where a ratio is more than 15 % worse than in benchmarks/ratios.json
    python benchmarks/guard.py --update   # writes the ratios of this machine there

Ratios of plain to ours depend on the kind of processor: there is a column for those that compute bfloat16 natively, as
training then does, and one for the others.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch

from rspnet.config.tools import BenchConfig
from rspnet.engine.runtime import has_native_bf16
from rspnet.lab.bench.bench_step import bench_step
from rspnet.lab.bench.run_bench import run_bench

RATIOS = Path(__file__).with_name("ratios.json")
TOLERANCE = 0.15


def measure() -> dict[str, float]:
    """Plain over ours, by name of what was measured."""
    found = {}
    for backbone in ("r3d_18", "s3dg"):
        found[f"step {backbone}"] = run_bench(BenchConfig(name="step", backbone=backbone, repeats=3))["speedup"]
    small = {"batch_size": 32, "num_frames": 16, "size": 48}  # pretrain/small-cpu
    found["step two_stream_slim"] = bench_step(backbone="two_stream_slim", repeats=3, **small)["speedup"]
    for row in run_bench(BenchConfig(name="data", repeats=3))["rows"]:
        found[f"data {row['name']}"] = row["ratio"]
    found["embed s3dg"] = run_bench(BenchConfig(name="embed", backbone="s3dg"))["speedup"]
    stock = "import rspnet.search, lancedb"
    ours = "import rspnet.search; from rspnet.search.lance import import_lancedb; import_lancedb()"
    found["start of a query"] = cpu_seconds(stock) / cpu_seconds(ours)
    return {name: round(ratio, 2) for name, ratio in found.items()}


def cpu_seconds(code: str, *, repeats: int = 3) -> float:
    """What Python takes to run it in a process of its own; the median."""
    spent = []
    for _ in range(repeats):
        process = subprocess.Popen([sys.executable, "-c", code])  # noqa: S603
        usage = os.wait4(process.pid, 0)[2]
        spent.append(usage.ru_utime + usage.ru_stime)
    return statistics.median(spent)


def main() -> int:
    """Exit code 0 where every ratio holds, 1 where one does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the ratios instead of comparing")
    update = parser.parse_args().update
    found = measure()
    committed = json.loads(RATIOS.read_text(encoding="utf-8"))
    kind = "bf16" if has_native_bf16(torch.device("cpu")) else "fp32"
    if update:
        RATIOS.write_text(json.dumps(committed | {kind: found}, indent=1) + "\n", encoding="utf-8")
        return 0
    expected, lost = committed.get(kind, {}), False
    for name in set(found) - set(expected):
        print(f"{name:28} {found[name]:6.2f}  nothing committed for {kind} processors: --update writes it")
    for name, ratio in ((name, ratio) for name, ratio in found.items() if name in expected):
        least = (1 - TOLERANCE) * expected[name]
        lost |= ratio < least
        print(f"{name:28} {ratio:6.2f}  committed {expected[name]:6.2f}  {'LOST' if ratio < least else 'ok'}")
    return int(lost)


if __name__ == "__main__":
    sys.exit(main())
