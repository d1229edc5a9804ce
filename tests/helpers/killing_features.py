"""Kills commands that write features at seeded moments and runs them again until they are done.

Run as a script: `python -m helpers.killing_features FOLDER SEED FAULTS WORDS`, WORDS a JSON list of a command line
without --out. The undisturbed run is in FOLDER/straight, the other in FOLDER/killed; prints the faults that killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from helpers.forking import be_a_mother, start
from helpers.killing import die, die_soon

from rspnet.core import files
from rspnet.features import store
from rspnet.features.embedder import Embedder

PLACES: dict[str, tuple[Any, str, int]] = {
    "some time into a part": (Embedder, "encode", 4),
    "in mid write": (store.pq, "write_table", 2),
    "before fsync": (files, "_flush", 5),
    "before a rename": (Path, "replace", 3),
}
"""Owner, name, and the last of the calls in which a death is drawn."""


def arm(place: str, call: int, seconds: float) -> None:
    """In a child: die at the n-th call of a place."""
    owner, name, _ = PLACES[place]
    own, left = getattr(owner, name), [call]

    def counted(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and place == "some time into a part":
            die_soon(seconds)
        elif left[0] == 0:
            if place == "in mid write":
                Path(arguments[1]).write_bytes(b"PAR1" + bytes(3000))
            die()
        return own(*arguments, **options)

    setattr(owner, name, counted)


def small_parts() -> None:
    """Parts of a few rows, so that a small job has several."""
    store.PART_ROWS = 20


def both(*steps: Callable[[], None]) -> None:
    for step in steps:
        step()


def main(folder: Path, rng: random.Random, faults: int, words: list[str]) -> None:
    be_a_mother()
    log = folder / "log.txt"
    assert start([*words, f"--out={folder / 'straight'}"], ranks=1, log=log, before={0: small_parts}) == [0], (
        log.read_text()
    )
    killed = [*words, f"--out={folder / 'killed'}"]
    deaths = []
    for number in range(faults):
        place = sorted(PLACES)[number % len(PLACES)]
        fault = (place, rng.randint(1, PLACES[place][2]), rng.uniform(0.0, 0.1))
        before = {0: partial(both, small_parts, partial(arm, *fault))}
        if start(killed, ranks=1, log=log, before=before) == [-signal.SIGKILL]:
            deaths.append(str(fault))
    assert start(killed, ranks=1, log=log, before={0: small_parts}) == [0], log.read_text()
    print(json.dumps(deaths))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(Path(sys.argv[1]), random.Random(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
