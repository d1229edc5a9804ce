"""Commands over a running Ray cluster, in a process of their own; decoders die at files called `abort...`.

Run as a script: `python -m helpers.ray_commands ADDRESS COMMANDS`, COMMANDS a JSON list of command lines without
--on. Prints their exit codes as JSON. The process connects once, for all commands.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import ray
from helpers.crashing import Planted

from rspnet.cli import main as rspnet
from rspnet.data import reading


def main(address: str, commands: list[list[str]]) -> None:
    sound = reading.read_on_ray

    def planted(work: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        return sound(Planted(work), *arguments, **options)

    reading.read_on_ray = planted
    ray.init(address, log_to_driver=False, logging_level="ERROR")
    print(json.dumps([rspnet([*words, "--on=ray", f"--ray_address={address}"]) for words in commands]))
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
