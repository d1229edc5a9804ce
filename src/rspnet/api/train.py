"""`rspnet.pretrain` and `rspnet.finetune`: whole trainings from Python, as the commands of these names run them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rspnet.api.chosen_options import choose_finetuning, choose_pretraining
from rspnet.api.finetuning import run_finetuning
from rspnet.api.pretraining import run_pretraining
from rspnet.config.finetune import FinetuneConfig
from rspnet.config.parser import dotted_names, merged, option_of_place, parse_options, plain_options
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.rules import ByPlace
from rspnet.core.errors import ConfigError
from rspnet.core.locks import holding
from rspnet.core.names import dotted
from rspnet.core.run_files import reported_checkpoint
from rspnet.engine.processes import processes
from rspnet.pretext.base import PretextModel
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.run_folder import RESULT, refuse_overlap
from rspnet.runs.training import Outcome

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind.

    Attributes:
        folder: the run folder.
        checkpoint: the weights that the run reports; `rspnet.load_pretrained`, `rspnet.Embedder` and all commands that
            take weights read it.
    """

    folder: Path
    checkpoint: Path

    @property
    def results(self) -> Mapping[str, Any]:
        """What came out, as in the section `results` of result.json: the last losses, or the scores with intervals."""
        content: Mapping[str, Any] = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))["results"]
        return content

    def load(self) -> PretextModel:
        """The trained network in eval mode on the CPU; see `rspnet.load_pretrained`."""
        return load_pretrained(self.checkpoint)

    def __fspath__(self) -> str:
        """The checkpoint's path, so that the result itself can be given where weights are asked for."""
        return os.fspath(self.checkpoint)


def pretrain(
    videos: AnyPath, *, out: AnyPath | None = None, recipe: str | None = None, resume: bool = False, **options: Any
) -> TrainingResult:
    """Learn a video network from unlabelled videos, as `rspnet pretrain` does.

    Progress is shown on stderr. Interrupting it (Ctrl-C, or a notebook's stop button) ends it after the step under way,
    leaves a checkpoint, and raises KeyboardInterrupt; the same call with `resume=True` goes on exactly there.

    Args:
        videos: a folder, searched recursively, or a list (.csv or .txt).
        out: run folder, for checkpoints, curves, config.yaml and result.json; runs/pretrain-NAME without.
        recipe: ready-made settings, such as "small-cpu" (all: `rspnet recipes`); `options` win over them.
        resume: go on with the run in `out`; starts from step 0 where there is none.
        options: those of `rspnet pretrain --help` by their names there. A section is a mapping, `data={"size": 64}`,
            or its dataclass, such as `rspnet.config.training.OptimConfig`. Without a recipe and without options of what
            is learned and how, these are chosen by the videos and the machine, and said.

    Raises:
        RSPNetError: see its kinds; the message names the option in the spelling of the command line.
        KeyboardInterrupt: it was interrupted (or got SIGTERM); the checkpoint is written.

    Example: rspnet.pretrain("my_videos", out="runs/first", recipe="small-cpu", model={"queue_size": 64})
    """
    given = merged(_basis(out, resume), _with_place(PretrainConfig.BY_PLACE, videos, options))
    config: PretrainConfig = _options(PretrainConfig, "pretrain", given, recipe, choose_pretraining)
    return _run(lambda: run_pretraining(config, second_stop="interrupt"), config)


def finetune(
    dataset: AnyPath,
    *,
    out: AnyPath | None = None,
    weights: AnyPath | TrainingResult | None = None,
    recipe: str | None = None,
    resume: bool = False,
    **options: Any,
) -> TrainingResult:
    """Train a classifier on labelled videos and test it, as `rspnet finetune` does; interrupted as `pretrain`.

    Args:
        dataset: its folder, or a CSV of videos and classes; `data={"kind": "folders"}` for one folder a class.
        out: run folder, for checkpoints, curves, result.json, predictions and confusion matrix; runs/finetune-NAME
            without.
        weights: to start from: a file, a run folder, or what `pretrain` returned; without, those that come with the
            package, or fresh ones where `model` or the recipe names a network.
        recipe: ready-made settings, such as "ucf101-r3d_18"; `options` win over them.
        resume: go on with the run in `out`; starts from step 0 where there is none.
        options: those of `rspnet finetune --help` by their names there. A section is a mapping, or its dataclass from
            `rspnet.config.finetune`.

    Raises:
        RSPNetError: see its kinds; the message names the option in the spelling of the command line.
        KeyboardInterrupt: it was interrupted (or got SIGTERM); the checkpoint is written.

    Example: rspnet.finetune("my_actions", out="runs/actions", weights="runs/first", data={"kind": "folders"})
    """
    given = merged(_basis(out, resume), _with_place(FinetuneConfig.BY_PLACE, dataset, options))
    if weights is not None:
        given["weights"] = os.fspath(weights)
    config: FinetuneConfig = _options(FinetuneConfig, "finetune", given, recipe, choose_finetuning)
    return _run(lambda: run_finetuning(config, second_stop="interrupt"), config)


def _options(
    kind: type[Any],
    command: str,
    given: Mapping[str, Any],
    recipe: str | None,
    choose: Callable[[Any, Sequence[str]], dict[str, Any]],
) -> Any:
    """The options of a command as `rspnet COMMAND` has them: what is given, a recipe, and what `choose` finds for both.

    Raises:
        ConfigError: a bad option, or `dry_run`, which prints and is of the command line.
    """
    if not isinstance(recipe, str | None):
        raise ConfigError(f"recipe {recipe!r}: must be the name of a recipe")
    config = parse_options(kind, given, command=command, recipe=recipe)
    names = [*dotted_names(given), *([] if recipe is None else ["recipe"])]
    if chosen := choose(config, names):
        config = parse_options(kind, given, command=command, recipe=recipe, defaults=chosen)
    refuse_overlap(config.out, [config.data.root])
    if config.dry_run:
        raise ConfigError(f"dry_run is of the command line: rspnet {command} --dry_run")
    return config


def _with_place(by_place: ByPlace, path: AnyPath, options: Mapping[str, Any]) -> dict[str, Any]:
    """Plain options with the videos as the option that they stand for.

    Raises:
        ConfigError: the option is given, too, and says something else.
    """
    given = plain_options(options)
    section, name = option_of_place(by_place, os.fspath(path), dict(dotted(given))).split(".")
    return merged({section: {name: os.fspath(path)}}, given)


def _basis(out: AnyPath | None, resume: bool) -> dict[str, Any]:
    return {"resume": resume} if out is None else {"resume": resume, "out": os.fspath(out)}


def _run(training: Callable[[], Outcome], config: PretrainConfig | FinetuneConfig) -> TrainingResult:
    """Train inside a program, whose number of threads and random state of torch are as before afterwards."""
    engine = config.engine
    if processes(devices=engine.devices, num_nodes=engine.num_nodes) != (1, 1) and hasattr(sys, "ps1"):
        raise ConfigError(
            f"--engine.devices {engine.devices}: a notebook or a console trains in one process; use the command line"
        )
    threads = torch.get_num_threads()
    try:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
        with holding(), torch.random.fork_rng(devices):
            outcome = training()
    finally:
        torch.set_num_threads(threads)
    if not outcome.finished:
        step, out = outcome.step, config.out
        raise KeyboardInterrupt(f"stopped at step {step}; its checkpoint is in {out!r}: go on with resume=True")
    return TrainingResult(Path(config.out), reported_checkpoint(config.out))
