"""Kills commands that write features in certain places and runs them again until they are done."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from helpers.forking import start
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


def run_and_kill(folder: str, seed: int, faults: int, words: list[str]) -> list[str]:
    """The undisturbed run in `straight`, the other in `killed`, below `folder`; the faults that killed it.

    Args:
        folder: where both are, and what they say.
        seed: of the calls at which the command dies; the places follow one after the other.
        faults: how many times it is to die.
        words: a command line without --out.
    """
    base, rng = Path(folder), random.Random(seed)
    log = base / "log.txt"
    assert start([*words, f"--out={base / 'straight'}"], ranks=1, log=log, before={0: small_parts}) == [0], (
        log.read_text()
    )
    killed = [*words, f"--out={base / 'killed'}"]
    deaths = []
    for number in range(faults):
        place = sorted(PLACES)[number % len(PLACES)]
        fault = (place, rng.randint(1, PLACES[place][2]), rng.uniform(0.0, 0.1))
        before = {0: partial(both, small_parts, partial(arm, *fault))}
        if start(killed, ranks=1, log=log, before=before) == [-signal.SIGKILL]:
            deaths.append(str(fault))
    assert start(killed, ranks=1, log=log, before={0: small_parts}) == [0], log.read_text()
    return deaths
