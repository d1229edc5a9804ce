"""Kills runs in certain places, resumes them until they are done, beside an undisturbed run (see `helpers.forking`)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from helpers.forking import start

import rspnet.api.finetuning
import rspnet.api.pretraining  # noqa: F401
from rspnet.core import files
from rspnet.engine import checkpoint
from rspnet.engine.loop import Loop


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def half_written(content: object, file: Any) -> None:
    """A `torch.save` that dies with half a file on disk."""
    file.write(b"PK\3\4" + bytes(5000))
    file.flush()
    die()


def die_soon(seconds: float) -> None:
    """Die some time later: anywhere in a step, in writing its checkpoint or in the next one."""
    timer = threading.Timer(seconds, die)
    timer.daemon = True
    timer.start()


class Place(NamedTuple):
    """What is called there, and between which of its calls (of one start) a death is drawn."""

    owner: Any
    name: str
    first: int
    last: int


PLACES = {
    "some time into a step": Place(Loop, "_one_step", 2, 3),
    "between steps": Place(Loop, "_one_step", 2, 3),
    "in mid write": Place(torch, "save", 1, 3),
    "before the checksum": Place(checkpoint, "seal", 1, 3),
    "before fsync": Place(files, "_flush", 3, 8),
    "before a rename": Place(Path, "replace", 2, 4),
    "before the second name": Place(checkpoint, "_link_or_copy", 1, 1),
}


class Fault(NamedTuple):
    """Death at the n-th call of a place."""

    place: str
    call: int
    seconds: float


def draw_fault(rng: random.Random, name: str) -> Fault:
    """At which call of a place, and how long after it."""
    place = PLACES[name]
    return Fault(name, rng.randint(place.first, place.last), rng.uniform(0.0, 0.1))


def arm(fault: Fault) -> None:
    """In a child: die as the fault says."""
    owner, name, *_ = PLACES[fault.place]
    own, left = getattr(owner, name), [fault.call]

    def counted(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            if fault.place == "some time into a step":
                die_soon(fault.seconds)
            elif fault.place == "in mid write":
                half_written(*arguments)
            else:
                die()
        return own(*arguments, **options)

    setattr(owner, name, counted)


def run_case(case: dict[str, Any], base: str) -> dict[str, Any]:
    """The undisturbed run in `straight`, the disturbed one in `killed`, both under the same relative --out.

    Args:
        case: `name`, `words` (a command line without --out and --resume), `ranks` and `places` (keys of PLACES).
        base: a folder; the case gets one in it.
    """
    ranks, words, folder = case["ranks"], [*case["words"], "--out=run"], Path(base) / case["name"]
    rng = random.Random(case["name"])
    for name in ("straight", "killed"):
        (folder / name).mkdir(parents=True)
    os.chdir(folder / "straight")
    codes = start(words, ranks=ranks, log=folder / "log.txt")
    assert codes == [0] * ranks, (folder / "log.txt").read_text()
    os.chdir(folder / "killed")
    kills: list[str] = []
    for name in case["places"]:
        fault = draw_fault(rng, name)
        # Only rank 0 writes; any rank may be lost in a step.
        rank = rng.randrange(ranks) if PLACES[name].owner is Loop else 0
        log, before = folder / "log.txt", {rank: partial(arm, fault)}
        if start([*words, "--resume"], ranks=ranks, log=log, before=before)[rank] == -signal.SIGKILL:
            kills.append(name)
    codes = start([*words, "--resume"], ranks=ranks, log=folder / "log.txt")
    assert codes == [0] * ranks, (folder / "log.txt").read_text()
    return {"kills": kills, "folder": str(folder)}
