"""Choosing the settings that nobody named, and saying so; see `rspnet.config.choice` for the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from rspnet.config.choice import Choice, Circumstances, choose_settings
from rspnet.config.finetune import FinetuneConfig
from rspnet.config.old_words import in_new_settings
from rspnet.config.parser import is_undecided, merged
from rspnet.config.pretrain import PretrainConfig, all_data_options
from rspnet.config.rules import DEFAULT_WEIGHTS
from rspnet.core.console import PlainConsole
from rspnet.core.progress import print_note
from rspnet.core.ranks import is_first_process
from rspnet.core.run_files import has_checkpoint
from rspnet.data.annotations import VideoRecord, find_videos
from rspnet.data.checks.lengths import short_length
from rspnet.engine.runtime import available_cores, pick_device, planned_device
from rspnet.pretext.methods import method_names
from rspnet.pretext.pretrained import config_of_weights
from rspnet.runs.run_folder import CONFIG

_OF_THE_MACHINE = ("root", "list", "num_workers")
_LEFT_TO_WORDS = {
    "max_steps": ("max_steps", "steps"),
    "epochs": ("max_steps", "steps"),
    "data.held_out": ("data.held_out", "held out"),
    "data.max_skipped": ("data.max_skipped", "skipped"),
}
"""Options with which the rest is chosen -> the option that is then not chosen, and the heading of its reason."""
_NOTHING_CHOSEN = (
    "options of what is learned are given and no recipe, so all others are the paper's (R3D-18, 16 frames of 112², "
    "batch 64): --recipe pretrain/small-cpu has those of a small network"
)


def choose_pretraining(config: PretrainConfig, names: Sequence[str]) -> dict[str, Any]:
    """Nested options in place of the defaults of a pre-training.

    Those of the run that is resumed; or chosen by the videos and the machine, and printed, where the options leave open
    what is learned and how, or start from weights without a recipe; and those of the weights' network and clips.

    Args:
        config: as the options alone give it.
        names: dotted names of the options that are given.

    Raises:
        RSPNetError: there are no videos, no such device, or weights that cannot be read.
    """
    console = PlainConsole(stderr=True, quiet=not is_first_process())
    undecided = is_undecided(PretrainConfig, names)
    file = Path(config.out) / CONFIG
    if undecided and config.resume and file.is_file():
        print_note(console, f"settings as in {str(file)!r}")
        return _of_run(file)
    has_file = "recipe" in names or "config" in names
    network = {} if config.weights is None else _of_weights(config_of_weights(config.weights))
    if network and (saved := _resumed(config.out, resume=config.resume)) is not None:
        network["data"]["fps"] = saved["data"].get("fps")  # a run of an earlier version took native frames
    fps = config.data.fps or network.get("data", {}).get("fps")
    chosen = {}
    if undecided or (network and not has_file):
        chosen = _chosen(config, console, names, fps=fps)
    if not chosen and not has_file and not config.resume:
        print_note(console, _NOTHING_CHOSEN)
    if not network:
        return chosen
    if _window(chosen.get("data", network["data"])) < _window(network["data"]):  # for videos that are short
        for name in ("num_frames", "base_speed", "speeds"):
            network["data"].pop(name, None)
    print_note(console, f"network and clips as of {config.weights!r}")
    return merged(chosen, network)


def choice_for(
    records: Sequence[VideoRecord],
    *,
    device: str,
    fps: float | None = None,
    workers: int | None = None,
    adapts: bool = False,
) -> Choice:
    """What `rspnet pretrain` chooses for some videos.

    Args:
        records: the videos.
        device: type of the device that will train.
        fps: frames a second at which the videos are read by time, or None for their native frames.
        workers: processes that look at the videos; the default is one for two cores.
        adapts: whether weights are trained further.
    """
    workers = max(1, available_cores() // 2) if workers is None else workers
    frames = short_length(records, fps=fps, workers=workers)
    return choose_settings(Circumstances(len(records), frames, "cuda" if device == "cuda" else "cpu", adapts))


def choose_finetuning(config: FinetuneConfig, names: Sequence[str]) -> dict[str, Any]:
    """Nested options in place of the defaults of a fine-tuning: its weights, and the clips that they were trained with.

    Weights and clips are those of the run that is resumed; else the weights that come with the package, unless a
    network is named.

    Args:
        config: as the options alone give it.
        names: dotted names of the options that are given.

    Raises:
        CheckpointError: the weights cannot be read.
    """
    weights, network = config.weights, config.model
    file = Path(config.out) / CONFIG
    if weights is None and "weights" not in names and (network.backbone, network.input) == (None, None):
        known = config.resume and file.is_file()
        weights = in_new_settings("finetune", _saved(file))["weights"] if known else DEFAULT_WEIGHTS
    if weights is None:
        return {}
    saved = _resumed(config.out, resume=config.resume)
    clip = config_of_weights(weights) if saved is None else in_new_settings("finetune", saved)["clips"]
    return {
        "weights": weights,
        "clips": {name: clip[name] for name in ("num_frames", "size", "stride", "fps") if name in clip},
    }


def _window(data: Mapping[str, Any]) -> int:
    """Frames of a video that the fastest clip needs."""
    data = all_data_options(data)
    return int(data["num_frames"]) * max(int(speed) for speed in data["speeds"])


def _of_weights(known: Mapping[str, Any]) -> dict[str, Any]:
    """The options that make the network of some weights' `config`, and the clips it was trained with."""
    network: dict[str, Any] = {name: known[name] for name in ("backbone", "input", "head") if name in known}
    if (method := known.get("method", "rspnet")) in method_names():
        network["method"] = method
    clip = {name: known[name] for name in ("num_frames", "size", "fps") if name in known}
    base = int(known.get("stride", 1))
    return {"model": network, "data": clip | {"base_speed": base, "speeds": [2 * base]}}


def _chosen(
    config: PretrainConfig, console: PlainConsole, names: Sequence[str], *, fps: float | None
) -> dict[str, Any]:
    """What was chosen and is not given; printed."""
    records = find_videos(config.data.root, config.data.list)
    found = planned_device(config.engine.device) if config.dry_run else pick_device(config.engine.device)
    choice = choice_for(
        records, device=found.type, fps=fps, workers=config.data.num_workers, adapts=config.weights is not None
    )
    for name in _LEFT_TO_WORDS.keys() & set(names):
        choice = choice.without(*_LEFT_TO_WORDS[name])
    table = Table(show_header=False, box=None, title="chosen for these videos and this machine", title_justify="left")
    for name, reason in choice.reasons.items():
        table.add_row(name, reason)
    console.print(table)
    console.print(f"the same as {choice.words()}")
    return choice.options()


def _saved(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def _resumed(out: str, *, resume: bool) -> dict[str, Any] | None:
    """The settings of the run that goes on, None where none does."""
    file = Path(out) / CONFIG
    return _saved(file) if resume and file.is_file() and has_checkpoint(Path(out)) else None


def _of_run(file: Path) -> dict[str, Any]:
    """The settings of a run that its result depends on."""
    saved = _saved(file)
    data = {name: value for name, value in saved["data"].items() if name not in _OF_THE_MACHINE}
    rest = {name: saved[name] for name in ("model", "optim", "epochs", "max_steps")}
    return {"data": data, "weights": saved.get("weights"), **rest}
