"""Peak memory of `rspnet embed` by the number of videos and by the length of one.

    python benchmarks/memory_of_embed.py many 1000 3000 10000
    python benchmarks/memory_of_embed.py long 0.1 1 3

`many` embeds so many files (hard links to three short videos; the content of every one is hashed and decoded), `long`
a film of so many hours (one short video's packets over and over, as `ffmpeg -stream_loop` writes it) by windows of 2 s
every second. Each run is a process of its own that reads in itself (--num_workers 0), with a network of random weights;
a line of JSON each: its greatest resident memory, seconds, rows and bytes on disk.
"""

from __future__ import annotations

import json
import os
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
        for size in sizes:
            videos = folder / f"videos-{size}"
            videos.mkdir()
            words = ["--num_frames=8", "--stride=1", f"--size={SIDE}", "--precision=fp32", "--num_workers=0"]
            if kind == "many":
                for number in range(int(size)):
                    (videos / f"{number:06d}.mp4").hardlink_to(folder / f"{number % 3}.mp4")
                words.append("--num_clips=1")
            else:
                loop(folder / "0.mp4", videos / "film.mp4", seconds=3600 * float(size))
                words += ["--window_s=2", "--hop_s=1"]
            print(json.dumps({kind: float(size), **measured(folder, videos, words)}), flush=True)


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


def measured(folder: Path, videos: Path, words: list[str]) -> dict[str, float]:
    """Run the command once."""
    out = folder / f"features-{videos.name}"
    started = time.perf_counter()
    command = [sys.executable, "-m", "rspnet", "embed", str(folder / "model.ckpt"), str(videos), f"--out={out}", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)  # noqa: S603 - words of this file
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, status
    return {
        "peak_mib": round(usage.ru_maxrss / 1024),
        "cpu_s": round(usage.ru_utime + usage.ru_stime),
        "s": round(time.perf_counter() - started),
        "rows": len(open_store(out)),
        "mb_on_disk": round(sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6, 2),
    }


if __name__ == "__main__":
    main()
