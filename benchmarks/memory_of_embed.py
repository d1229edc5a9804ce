"""Peak memory of `rspnet embed` and `rspnet classify run` by the number of videos and by the length of one.

    python benchmarks/memory_of_embed.py many 1000 3000 10000
    python benchmarks/memory_of_embed.py long 0.167 1 3

`many` embeds so many files (hard links to three short videos; the content of every one is hashed and decoded), `long`
a film of so many hours (one short video's packets over and over, as `ffmpeg -stream_loop` writes it) by windows of 2 s
every second; a classifier of two classes then embeds and judges the film by itself. Each run is a command of its own,
with a network of random weights; a line of JSON each: the greatest resident memory of all its processes together
(looked at ten times a second; what they share counts for each of them), CPU seconds, seconds, and what was written.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from rspnet.data.synthetic.procedural import plan_clips, render_frames
from rspnet.features.read import open_store
from rspnet.lab.bench.bench_search import random_checkpoint
from rspnet.video.writer import write_video

FPS, FRAMES, SIDE = 5, 40, 48


def main() -> None:
    """Measure what the command line names."""
    kind, *sizes = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as name:
        folder = Path(name)
        random_checkpoint(folder / "model.ckpt", "r3d_10_slim")
        scenes = [render_frames(plan) for plan in plan_clips(num_videos=3, seed=0, num_frames=FRAMES, size=SIDE)]
        for number, frames in enumerate(scenes):
            write_video(folder / f"{number}.mp4", frames, fps=FPS)
        view = ["--num_frames=8", "--stride=1", f"--size={SIDE}", "--precision=fp32"]
        windows = [*view, "--window_s=2", "--hop_s=1"]
        if kind == "long":
            fit(folder, windows)
        for size in sizes:
            videos = folder / f"videos-{size}"
            videos.mkdir()
            if kind == "many":
                for number in range(int(size)):
                    (videos / f"{number:06d}.mp4").hardlink_to(folder / f"{number % 3}.mp4")
            else:
                loop(folder / "0.mp4", videos / "film.mp4", seconds=3600 * float(size))
            out = folder / f"features-{size}"
            words = [*view, "--num_clips=1"] if kind == "many" else windows
            found = measured(["embed", str(folder / "model.ckpt"), str(videos), f"--out={out}", *words])
            print(json.dumps({"embed": kind, "size": float(size), **found, "rows": len(open_store(out))}), flush=True)
            if kind == "long":
                out = folder / f"timeline-{size}"
                found = measured(["classify", "run", str(folder / "classifier"), str(videos), f"--out={out}"])
                print(
                    json.dumps({"classify run": kind, "size": float(size), **found, "mb": megabytes(out)}), flush=True
                )


def fit(folder: Path, words: list[str]) -> None:
    """A classifier of the first scene and the second."""
    scenes = [str(folder / f"{number}.mp4") for number in range(3)]
    rows = [f"{scene},{number % 2}" for number, scene in enumerate(scenes)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")
    measured(["embed", str(folder / "model.ckpt"), *scenes, f"--out={folder / 'features'}", *words])
    given = [f"--features={folder / 'features'}", f"--out={folder / 'classifier'}"]
    measured(["classify", "fit", str(folder / "labels.csv"), *given])


def loop(source: Path, target: Path, *, seconds: float) -> None:
    """Write the packets of a video over and over until it is so long."""
    with av.open(str(source)) as one, av.open(str(target), "w") as film:
        stream = one.streams.video[0]
        out = film.add_stream_from_template(stream)
        packets = [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe) for p in one.demux(stream) if p.dts is not None]
        turn = round(FRAMES / FPS / stream.time_base)
        for number in range(round(seconds * FPS / FRAMES)):
            for content, pts, dts, duration, is_key in packets:
                packet = av.Packet(content)
                packet.stream = out
                packet.time_base = stream.time_base  # type: ignore[assignment]
                packet.pts, packet.dts, packet.duration = pts + number * turn, dts + number * turn, duration
                packet.is_keyframe = is_key
                film.mux(packet)


def measured(words: list[str]) -> dict[str, float]:
    """Run a command once."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rspnet", *words]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)  # noqa: S603 - words of this file
    assert process.stderr is not None
    peak = 0.0
    os.set_blocking(process.stderr.fileno(), False)
    said = b""
    while process.poll() is None:
        peak = max(peak, tree_mib(process.pid))
        said += process.stderr.read() or b""
        time.sleep(0.1)
    assert process.returncode == 0, said.decode(errors="replace")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"peak_mib": round(peak), "cpu_s": round(cpu), "s": round(time.perf_counter() - started)}


def tree_mib(root: int) -> float:
    """Resident memory of a process and all that it started."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end while it is looked at
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parents[int(folder.name)], sizes[int(folder.name)] = int(fields[1]), int(fields[21])
    own = {root}
    while more := {process for process, parent in parents.items() if parent in own} - own:
        own |= more
    return sum(sizes.get(process, 0) for process in own) * resource.getpagesize() / 2**20


def megabytes(folder: Path) -> float:
    """What a folder takes on disk."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 2)


if __name__ == "__main__":
    main()
