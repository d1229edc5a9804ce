"""Samples a second and seconds to the first batch from single files and from shards, on disk and on S3 with a delay.

python benchmarks/shards.py [VIDEOS] [DELAY_MS] [BATCHES] [FRAMES] [SIDE]

Makes VIDEOS (2,000) short videos (50 different ones, of FRAMES (48) frames of SIDE (128) pixels) in a temporary folder,
packs them into 1, 10 and 100 shards, and reads BATCHES (20) of 8 pairs by one worker process from each, in a process of
its own; then from an S3 server on loopback (moto's) behind a proxy that waits DELAY_MS (20) before every request.
Prints one line of JSON for each; CPU seconds are those of the process from its start and of its worker.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).resolve().parent
DIFFERENT, SHARDS, BATCH = 50, (1, 10, 100), 8
MOST_BYTES = 2**29
"""Objects above this size are left out: moto reads an object whole for every range."""


def main() -> None:
    """Make the videos and measure."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from helpers.stores import s3_server

    given = [int(word) for word in sys.argv[1:]]
    count, delay_ms, batches, frames, side = [*given, *(2000, 20, 20, 48, 128)[len(given) :]]
    with tempfile.TemporaryDirectory() as place:
        folders = make(Path(place), count, num_frames=frames, size=side)
        for name, folder in folders.items():
            print(json.dumps({"from": name, "on": "disk", **apart(folder, batches, os.environ)}), flush=True)
        with s3_server() as s3:
            for number, (name, folder) in enumerate(folders.items()):
                if max(path.stat().st_size for path in folder.rglob("*.*")) > MOST_BYTES:
                    continue
                bucket = f"bench-{number}"
                s3.put(bucket, {})
                put(bucket, folder)
                s3.trouble.delay_s = delay_ms / 1e3
                s3.trouble.seen.clear()
                found = apart(f"s3://{bucket}/videos", batches, os.environ | s3.environment)
                found |= {"requests": len(s3.trouble.seen)}
                print(json.dumps({"from": name, "on": f"S3, {delay_ms} ms", **found}), flush=True)


def make(place: Path, count: int, **look: int) -> dict[str, Path]:
    """Single files and shards, by what they are called."""
    from rspnet.cli import main as rspnet
    from rspnet.data.synthetic.procedural import plan_clips, write_set

    write_set(place / "all", plan_clips(num_videos=DIFFERENT, seed=0, **look), workers=0)
    different = sorted(path for path in (place / "all").rglob("*") if path.suffix in (".mp4", ".avi"))
    folders, copies = {"files": place / "files"}, dict[Path, Path]()
    for number in range(count):
        source = different[number % len(different)]
        target = folders["files"] / f"{number % 100:02d}" / f"{number:06d}{source.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        copies[Path(shutil.copyfile(source, target))] = source
    seen = remembered(copies)
    size = sum(path.stat().st_size for path in folders["files"].rglob("*.*"))
    from rspnet.commands.pack import _MEMORY
    from rspnet.data import packing

    made = packing.Packer.__init__
    for shards in SHARDS:
        folder = folders[f"{shards} shards"] = place / f"shards-{shards}"
        (folder / ".pack").mkdir(parents=True)
        (folder / ".pack" / _MEMORY).write_text(seen, encoding="utf-8")
        limit = int(1.1 * size / shards) + 2**20 // shards

        def smaller(self: Any, *args: Any, limit: int = limit, **_: Any) -> None:
            made(self, *args, limit_bytes=limit)

        packing.Packer.__init__ = smaller  # type: ignore[method-assign]
        started = perf_counter()
        assert rspnet(["pack", str(folders["files"]), f"--out={folder}", "--num_workers=1"]) == 0
        seconds, there = perf_counter() - started, len(list(folder.glob("*.tar")))
        print(json.dumps({"packed": count, "bytes": size, "into": there, "seconds": round(seconds, 1)}), flush=True)
    return folders


def remembered(copies: dict[Path, Path]) -> str:
    """What `pack` notes of videos that it has checked: each different one is, once."""
    from rspnet.commands.pack import _INSPECTOR
    from rspnet.data.checks.inspect_all import _key

    reports = {path: asdict(_INSPECTOR((path.name, str(path)))) for path in set(copies.values())}
    return "".join(
        json.dumps({"key": _key(path, _INSPECTOR), "report": reports[source] | {"path": str(path)}}) + "\n"
        for path, source in copies.items()
    )


def put(bucket: str, folder: Path) -> None:
    """Put the files of a folder into the server, which runs in this process: 100,000 requests would take an hour."""
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    for path in sorted(folder.rglob("*.*")):
        if path.is_file() and ".pack" not in path.parts:
            backend.put_object(bucket, f"videos/{path.relative_to(folder).as_posix()}", path.read_bytes())


def apart(root: object, batches: int, environment: Any) -> dict[str, Any]:
    """`measure` in a process of its own."""
    words = [sys.executable, str(HERE / "shards.py"), "--measure", str(root), str(batches)]
    alone = environment | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=alone, capture_output=True, text=True, check=True, process_group=0)  # noqa: S603 - ourselves
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(root: str, batches: int) -> dict[str, Any]:
    """Read batches of pairs of the videos of a folder."""
    from rspnet.data.annotations import read_folder
    from rspnet.data.datasets import ClipPairDataset
    from rspnet.data.loader import make_loader
    from rspnet.data.presets import augment_preset
    from rspnet.data.sampler import PairSampler

    started = perf_counter()
    records = read_folder(root)
    listed = perf_counter()
    preset = augment_preset("published")
    dataset = ClipPairDataset(records, num_frames=16, speeds=[2], size=112, preset=preset, seed=0)
    sampler = PairSampler(len(records), batch_size=BATCH, speeds=[2], seed=0, total_steps=batches)
    first = last = first_cpu = 0.0
    for _ in make_loader(dataset, sampler, num_workers=1):
        last = perf_counter()
        if not first:
            first, first_cpu = last, cpu_s()
    return {
        "videos": len(records),
        "listing_s": round(listed - started, 2),
        "first_batch_s": round(first - started, 2),
        "first_batch_cpu_s": round(first_cpu, 2),
        "cpu_ms_a_sample": round((cpu_s() - first_cpu) / ((batches - 1) * BATCH) * 1e3, 1),
        "samples_a_second": round((batches - 1) * BATCH / (last - first), 1),
    }


def cpu_s() -> float:
    """CPU seconds of this process since it began, and of those that it started."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end while it is looked at
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15])) * (int(fields[2]) == os.getpgrp())
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
