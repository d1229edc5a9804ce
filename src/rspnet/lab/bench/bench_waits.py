"""What users wait for, as whole processes: index, embed and search against decoding the same files once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from rspnet.core.errors import RSPNetError
from rspnet.data.synthetic.procedural import plan_clips, render_frames, write_set
from rspnet.video.writer import write_video

_DECODE = """
import sys
import av
for path in sys.argv[1:]:
    with av.open(path) as file:
        file.streams.video[0].thread_count = 1
        for frame in file.decode(video=0):
            pass
"""
_SIDE, _FRAMES, _FPS = 256, 64, 25


def bench_waits(*, videos: int) -> dict[str, Any]:
    """CPU time and time by the clock of commands on `videos` short videos, and on one film of all their frames.

    All processes read by themselves (`--num_workers 0`) with one thread, so that their own CPU time is all of it. What
    a command needs to start is its time for a single video; the rest of its time is set against the decoder's own.

    Args:
        videos: short ones, H.264 and XVID by turns, 256 x 256, 64 frames.

    Returns:
        {"rows": what, cpu_s, wall_s and, where files are read, cpu_s above the start over the decoder's}.
    """
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as place:
        work = Path(place)
        clips = plan_clips(num_videos=videos, seed=0, num_frames=_FRAMES, size=_SIDE, test_fraction=0.5)
        write_set(work / "short", clips, workers=1)
        short = sorted(path for path in (work / "short").rglob("*") if path.suffix in (".mp4", ".avi"))
        for name, shown in (("single", clips[:1]), ("film", clips)):
            frames = (frame for clip in shown for frame in render_frames(clip))  # not held: a film is long
            write_video(work / name / "film.mp4", frames, fps=_FPS)
        rows = [_row("import torch", [sys.executable, "-c", "import torch"])]
        for folder in ("single", "short", "film"):
            files = [str(path) for path in (short if folder == "short" else [work / folder / "film.mp4"])]
            rows.append(_row(f"decode {folder}", [sys.executable, "-c", _DECODE, *files]))
            for command in ("index", "embed"):
                own = [*_rspnet(command), str(work / folder), "--out", str(work / f"{command} {folder}")]
                rows.append(_row(f"{command} {folder}", [*own, "--num_workers", "0"]))
        again = [*_rspnet("index"), str(work / "short"), "--out", str(work / "index short"), "--num_workers", "0"]
        rows.append(_row("index short again", again))
        rows.append(_row("search short", [*_rspnet("search"), str(work / "index short"), str(short[0])]))
    return {"rows": _against_decoding(rows), "videos": videos}


def _rspnet(command: str) -> list[str]:
    return [sys.executable, "-m", "rspnet", command]


def _row(what: str, command: Sequence[str]) -> dict[str, Any]:
    """Run a process to its end: user and system CPU seconds and those of the clock."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            said.seek(0)
            raise RSPNetError(f"bench waits: {what} failed: {said.read().decode(errors='replace').strip()[-300:]}")
    return {"what": what, "cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": perf_counter() - started}


def _against_decoding(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `over_decoding`: (this - its start) / (decode - its start); a start is the time for one video."""
    spent = {row["what"]: row["cpu_s"] for row in rows}
    found = []
    for row in rows:
        command, _, folder = row["what"].partition(" ")
        over = None
        if folder in ("short", "film") and f"{command} single" in spent:
            decoder = spent[f"decode {folder}"] - spent["decode single"]
            over = (row["cpu_s"] - spent[f"{command} single"]) / max(decoder, 1e-3)
        found.append(row | {"over_decoding": over})
    return found
