"""What a GPU makes of rspnet, in minutes: its tests, steps, data, and a run of the published recipe; see gpu.sh.

    python benchmarks/gpu.py --out DIR [--device cpu] [--seconds 530]

Every part is a process with a time limit of its own; what it has found until then is kept. DIR/gpu.json is written
after every part. On a CPU everything is tried at a small scale, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"tests": 120, "step": 230, "data": 90, "recipe": 10_000}
"""Seconds each part may take of `_WHOLE`; the last one gets what the others leave."""
_WHOLE = 530.0
_TAIL = 1500
BACKBONES = ("r3d_18", "r2plus1d_vcop", "s3dg", "c3d", "r3d_10_slim")
BATCHES = (16, 64, 256)


def main() -> int:
    """Exit code 0 where every part ended by itself and in good order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-run"), help="folder of the results")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=_WHOLE, help="of all parts together")
    parser.add_argument("--parts", nargs="*", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--part", choices=list(LIMITS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part is not None:
        import torch  # in the processes of the parts alone

        for row in rows_of(options.part, torch.device(options.device), options.work, seconds=options.seconds):
            print(json.dumps(row), flush=True)
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rspnet-gpu-") as work:
        return run_parts(options, Path(work))


def run_parts(options: argparse.Namespace, work: Path) -> int:
    """Run them one after the other and keep what they print."""
    started, result, bad = monotonic(), {}, False
    for part in options.parts:
        left = options.seconds - (monotonic() - started)
        limit = min(LIMITS[part] * options.seconds / _WHOLE, left)
        nothing = {"ended": "no time left", "rows": []}
        result[part] = run_part(part, options, work, limit=limit) if limit > 5 else nothing
        bad |= result[part]["ended"] != 0
        temporary = options.out / "gpu.json.tmp"
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        temporary.replace(options.out / "gpu.json")
        print(f"{part}: {result[part]['ended']}, {len(result[part]['rows'])} rows, {monotonic() - started:.0f} s")
    return int(bad)


def run_part(part: str, options: argparse.Namespace, work: Path, *, limit: float) -> dict[str, Any]:
    """How it ended (exit code, or "time limit"), its rows, seconds, and the end of what it said."""
    command = [sys.executable, __file__, "--part", part, "--device", options.device, "--work", str(work)]
    command += ["--seconds", str(max(2.0, limit - 25))]
    printed, said = work / f"{part}.jsonl", work / f"{part}.txt"
    started = monotonic()
    with printed.open("w") as out, said.open("w") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, start_new_session=True)  # noqa: S603
        try:
            ended: int | str = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            ended = "time limit"
    lines = printed.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    text = said.read_text(encoding="utf-8", errors="replace") + "\n".join(line for line in lines if line[:1] != "{")
    (options.out / f"{part}.txt").write_text(text, encoding="utf-8")
    return {"ended": ended, "seconds": monotonic() - started, "rows": rows, "said": text[-_TAIL:]}


def rows_of(part: str, device: Any, work: Path, *, seconds: float) -> Iterator[dict[str, Any]]:
    """What a part finds, as it finds it."""
    if part == "tests":
        yield from test_rows(device)
        return
    from rspnet.lab.bench import device_data

    scale = device_data.SMALL if device.type == "cpu" else device_data.FULL
    if part == "step":
        yield from step_rows(device, scale, seconds=seconds)
    elif part == "data":
        yield from device_data.data_rows(device, scale, work)
    else:
        yield from device_data.recipe_rows(device, scale, work, seconds=seconds)


def test_rows(device: Any) -> Iterator[dict[str, Any]]:
    """pytest's own account goes to standard error."""
    options = ["-m", "cuda", "tests/cuda", "--override-ini=addopts=--strict-markers --import-mode=importlib"]
    options += ["-W", "default", "-p", "no:cacheprovider", "-v", "--tb=short", "--durations=10"]
    options += ["-k", "pools"] if device.type == "cpu" else []
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, stdout=sys.stderr, check=False, cwd=ROOT)  # noqa: S603
    yield {"exit_code": done.returncode}


def step_rows(device: Any, scale: Any, *, seconds: float) -> Iterator[dict[str, Any]]:
    """Every backbone at growing batches, what the device spends the first one's step on, then all compiled (GPUs)."""
    from rspnet.lab.bench.device_step import StepSetting, busiest_kernels, device_rates, growing_batches, time_step

    small, started = device.type == "cpu", monotonic()
    rates = device_rates(device, side=256 if small else 8192)
    yield rates
    time = {"seconds": scale.seconds / 6, "matrix_rate": rates["matrix_rate"]}
    shape = {"num_frames": scale.num_frames, "size": scale.size}
    backbones, batches = ((scale.backbone,), (scale.batch_size,)) if small else (BACKBONES, BATCHES)
    for backbone in backbones:
        yield from growing_batches(backbone, device, batches=batches, **time, **shape)
    yield from busiest_kernels(StepSetting(backbones[0], scale.batch_size, **shape), device)
    for backbone in () if small else backbones:
        if monotonic() - started > seconds:
            return
        yield time_step(StepSetting(backbone, scale.batch_size, compiled=True, **shape), device, **time)


if __name__ == "__main__":
    sys.exit(main())
