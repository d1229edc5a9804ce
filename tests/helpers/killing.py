"""Kills runs at seeded moments, resumes them until they are done, and compares them with an undisturbed run.

Run as a script: `python -m helpers.killing FOLDER SEED CASES`, CASES a JSON list of objects with `name`, `words` (a
command line without --out and --resume), `ranks` and `faults` (how many). Prints one JSON object a case.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from helpers.forking import be_a_mother, start

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


def draw_fault(rng: random.Random, *, number: int) -> Fault:
    """Every second fault comes some time into a step, the others at any place."""
    name = "some time into a step" if number % 2 == 0 else rng.choice(sorted(PLACES))
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


def run_case(case: dict[str, Any], folder: Path, rng: random.Random) -> dict[str, Any]:
    """The undisturbed run in `straight`, the disturbed one in `killed`, both under the same relative --out."""
    ranks, words = case["ranks"], [*case["words"], "--out=run"]
    for name in ("straight", "killed"):
        (folder / name).mkdir(parents=True)
    os.chdir(folder / "straight")
    codes = start(words, ranks=ranks, log=folder / "log.txt")
    assert codes == [0] * ranks, (folder / "log.txt").read_text()
    os.chdir(folder / "killed")
    kills: list[str] = []
    for number in range(case["faults"]):
        fault = draw_fault(rng, number=number)
        # Only rank 0 writes; any rank may be lost in a step.
        rank = rng.randrange(ranks) if PLACES[fault.place].owner is Loop else 0
        log, before = folder / "log.txt", {rank: partial(arm, fault)}
        if start([*words, "--resume"], ranks=ranks, log=log, before=before)[rank] == -signal.SIGKILL:
            kills.append(f"rank {rank}: {fault}")
    codes = start([*words, "--resume"], ranks=ranks, log=folder / "log.txt")
    assert codes == [0] * ranks, (folder / "log.txt").read_text()
    return {"name": case["name"], "kills": kills, "folder": str(folder)}


def serve(folder: Path, seed: int, cases: list[dict[str, Any]]) -> None:
    """Run the cases one after the other."""
    be_a_mother()
    for case in cases:
        result = run_case(case, folder / case["name"], random.Random(f"{seed} {case['name']}"))
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
