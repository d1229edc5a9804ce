"""Choosing the settings that nobody named, and saying so; see `rspnet.config.choice` for the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from rich.table import Table

from rspnet.config.choice import Circumstances, choose_settings
from rspnet.config.pretrain import PretrainConfig
from rspnet.core.console import PlainConsole
from rspnet.core.progress import print_note
from rspnet.data.annotations import find_videos
from rspnet.data.checks.lengths import short_length
from rspnet.engine.processes import is_first_process
from rspnet.engine.runtime import available_cores, pick_device
from rspnet.runs.run_folder import CONFIG

_OF_THE_MACHINE = ("root", "list", "num_workers", "max_skipped")


def choose_options(config: PretrainConfig) -> dict[str, Any]:
    """Nested options in place of the defaults: those of the run that is resumed, or chosen and printed.

    Raises:
        RSPNetError: there are no videos, or no such device.
    """
    console = PlainConsole(stderr=True, quiet=not is_first_process())
    file = Path(config.out) / CONFIG
    if config.resume and file.is_file():
        print_note(console, f"settings as in {str(file)!r}")
        return _of_run(file)
    records = find_videos(config.data.root, config.data.list)
    device: Literal["cpu", "cuda"] = "cuda" if pick_device(config.engine.device).type == "cuda" else "cpu"
    workers = max(1, available_cores() // 2) if config.data.num_workers is None else config.data.num_workers
    frames = short_length(records, workers=workers)
    adapts = bool(getattr(config.model, "init", None))
    choice = choose_settings(Circumstances(len(records), frames, device, adapts))
    table = Table(show_header=False, box=None, title="chosen for these videos and this machine", title_justify="left")
    for name, reason in choice.reasons.items():
        table.add_row(name, reason)
    console.print(table)
    console.print(f"the same as {choice.words()}", highlight=False, markup=False, soft_wrap=True)
    return choice.options()


def _of_run(file: Path) -> dict[str, Any]:
    """The settings of a run that its result depends on."""
    saved = yaml.safe_load(file.read_text(encoding="utf-8"))
    data = {name: value for name, value in saved["data"].items() if name not in _OF_THE_MACHINE}
    return {"data": data, **{name: saved[name] for name in ("model", "optim", "epochs", "max_steps")}}
