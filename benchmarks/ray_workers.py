"""What a Ray cluster of this machine costs and gains: clips a second by workers, and the overhead of a task.

python benchmarks/ray_workers.py [VIDEOS] [ROUNDS]

Embeds VIDEOS (48) short videos with rspnet-small on this machine without Ray (a process reads, another computes on one
thread), and over Ray with 1 and 2 workers, ROUNDS (2) times in turn. Times are from the first stored video to the last,
so that starts do not count. Then gives 2,000 tasks that do nothing to one worker. Prints lines of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

CLIPS = 4
RUN = "import sys, rspnet.features.store as store, rspnet.cli as cli; store.PART_ROWS = 1; sys.exit(cli.main({!r}))"
WAYS = {"without Ray": [], "1 worker": ["--on=ray", "--concurrency=1"], "2 workers": ["--on=ray", "--concurrency=2"]}


def main() -> None:
    """Make the videos and measure."""
    from rspnet.data.synthetic.procedural import plan_clips, write_set

    given = [int(word) for word in sys.argv[1:]]
    videos, rounds = [*given, *(48, 2)[len(given) :]]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "videos"
        write_set(folder, plan_clips(num_videos=videos, seed=0, num_frames=64, size=128), workers=0)
        for number in range(rounds):
            for name, words in WAYS.items():
                seconds, count = embed(folder, Path(place) / f"{number} {name}", words)
                found = {
                    "round": number,
                    "way": name,
                    "load": os.getloadavg()[0],
                    "clips_a_second": CLIPS * count / seconds,
                }
                print(json.dumps(found), flush=True)
    print(json.dumps({"milliseconds_a_task": 1e3 * overhead(2000)}))


def embed(folder: Path, out: Path, words: Sequence[str]) -> tuple[float, int]:
    """Seconds from the first part that is stored to the last, and the videos stored between."""
    command = [
        "embed",
        str(folder),
        "--weights=rspnet-small",
        f"--out={out}",
        f"--num_clips={CLIPS}",
        "--num_workers=1",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", RUN.format([*command, *words])], env=environment, check=True, capture_output=True
    )
    stored = sorted(part.stat().st_mtime for part in out.glob("features.parquet/part-*.parquet"))
    return stored[-1] - stored[0], len(stored) - 1


class Nothing:
    """Gives every task back."""

    def __call__(self, tasks: Sequence[int]) -> Iterator[int]:
        """The tasks."""
        yield from tasks


def overhead(count: int) -> float:
    """Seconds a task that does nothing, from the first result on."""
    from rspnet.core.ray_jobs import RayCluster, ray_map

    first = 0.0
    for _ in ray_map(Nothing, range(count), RayCluster(workers=1)):
        first = first or perf_counter()
    return (perf_counter() - first) / (count - 1)


if __name__ == "__main__":
    main()
