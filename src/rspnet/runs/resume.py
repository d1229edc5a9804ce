"""Going on with a run: which checkpoint, what may not change, and what of a change to say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console

from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.plugins import plugins_sha256
from rspnet.core.progress import print_note
from rspnet.data.annotations import VideoRecord
from rspnet.engine.checkpoint import CheckpointFolder
from rspnet.runs.run_folder import already_run, plain

Differences = Callable[[Mapping[str, Any]], Iterable[tuple[str, Any, Any]]]
"""A saved run's settings -> (option, value then, value now) of all that its result depends on."""

_STARTED_WITH = {
    "init_sha256": ("the weights to start from", ""),
    "class_names": ("the classes", " (earlier versions left out those of a class list that have no videos)"),
}
"""Entry of a checkpoint -> how errors call it, and why it may differ though nothing was changed."""
_NOT_OF_THE_TRAINING = ("out", "resume", "dry_run")


def saved_run(checkpoints: CheckpointFolder, *, resume: bool, console: Console) -> dict[str, Any] | None:
    """The newest whole checkpoint where a resume was asked for, None for a new run.

    Raises:
        ConfigError: the folder holds a run that would be overwritten.
        CheckpointError: none of its checkpoints can be read.
    """
    if resume:
        return checkpoints.load_last(tell=lambda text: print_note(console, text))
    if checkpoints.exists():
        raise ConfigError(already_run(checkpoints.folder))
    return None


def training_settings(config: Any) -> dict[str, Any]:
    """A configuration as plain values, without what says only where and how the command was started."""
    return {name: value for name, value in plain(config).items() if name not in _NOT_OF_THE_TRAINING}


def refuse_other_settings(pairs: Iterable[tuple[str, Any, Any]]) -> None:
    """Raise for the first option whose value at the start of the run differs from its value now.

    Args:
        pairs: (option, value of the saved run, value now) of all that the result depends on.

    Raises:
        ConfigError: names the option and both values.
    """
    for name, old, new in pairs:
        if old != new:
            raise ConfigError(
                f"--resume: --{name} is {new} but the run was started with {old}; keep it, or start a new run folder"
            )


def refuse_other_content(saved: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where what the run was started from or for is not the same any more.

    Args:
        saved: a checkpoint.
        content: what checkpoints of this run keep besides the training's state; unknown entries are no difference.
    """
    for name, (what, why) in _STARTED_WITH.items():
        if name in content and saved.get(name, content[name]) != content[name]:
            raise ConfigError(
                f"--resume: {what} are not those that the run was started with{why}; restore them, or start a new run "
                "folder"
            )


def refuse_other_parameters(optimizer: Mapping[str, Any], count: int) -> None:
    """Raise `ConfigError` where an optimiser's saved state is of more or fewer parameters than are trained now."""
    before = sum(len(group["params"]) for group in optimizer["param_groups"])
    if before != count:
        raise ConfigError(
            f"--resume: {counted(count, 'tensor')} trained now, {before} when the run was started (--model.freeze "
            "counts stages otherwise since, or the network's code has changed): start a new run folder"
        )


def videos_sha256(records: Sequence[VideoRecord]) -> str:
    """A hash of the videos' names and classes in their order: what the sampler's numbers stand for."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(repr((record.name, record.label)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def refuse_other_videos(saved: Mapping[str, Any], records: Sequence[VideoRecord]) -> None:
    """Raise `ConfigError` unless the run was started with these videos (unknown for checkpoints of schema 1)."""
    if saved["videos_sha256"] not in (None, videos_sha256(records)):
        raise ConfigError(
            f"--resume: these training videos ({len(records)}) are not those the run was started with (names, "
            "number or order changed); restore them, or start a new run folder from these weights"
        )


def made_with(fabric: Fabric, *, precision: str, virtual_ranks: int = 1, plugins: Sequence[str] = ()) -> dict[str, Any]:
    """What else the exact numbers of a training depend on: programs, processor, precision, ranks, code of plug-ins."""
    return {
        "rspnet": version("rspnet"),
        "torch": str(torch.__version__),
        "device": fabric.device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "ranks": fabric.world_size,
        "virtual_ranks": virtual_ranks,
        "plugins_sha256": plugins_sha256(plugins),
    }


def what_is_inexact(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One sentence for everything that keeps a resumed run from going on bit for bit; loader workers never do."""
    if not old:
        return ["the checkpoint is of an older rspnet, which did not note what made it: going on may not be exact"]
    notes = [
        f"{name} {new[name]} instead of {old[name]}: the run goes on, but rounds differently from here"
        for name in ("rspnet", "torch", "device", "precision", "threads")
        if old[name] != new[name]
    ]
    code = new.get("plugins_sha256")
    if old.get("plugins_sha256", code) != code:
        notes.append("the code of the plug-in has changed since the run was started: it goes on as the new code has it")
    old_groups, new_groups = ((made["ranks"], made["virtual_ranks"]) for made in (old, new))
    if old_groups != new_groups:
        before, now = (
            f"{counted(ranks, 'rank')} x {counted(virtual, 'virtual rank')}"
            for ranks, virtual in (old_groups, new_groups)
        )
        if old_groups[0] * old_groups[1] == new_groups[0] * new_groups[1]:
            effect = "the same groups share a batch norm, so the run goes on but for rounding (and dropout)"
        else:
            effect = "other groups of clips share a batch norm, so from here on it is a slightly different training"
        notes.append(f"{now} instead of {before}: {effect}")
    return notes
