"""`rspnet recipes plan`: the commands that repeat a cell of the published table, and how long they take."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rspnet.config.tools import PlanConfig
from rspnet.core.cost import as_time
from rspnet.core.counts import counted
from rspnet.core.files import write_text
from rspnet.recipes import recipe_path
from rspnet.recipes.published import CLIPS_A_GPU, FINETUNING_GPUS, PUBLISHED, TRAINING_VIDEOS, Cell, find_cell

_SBATCH = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes=1 --ntasks-per-node={gpus} --gpus-per-node={gpus} --cpus-per-task=12
#SBATCH --time=24:00:00 --requeue --open-mode=append
#SBATCH --signal=TERM@120

srun --kill-on-bad-exit=1 {command}
code=$?
if [ $code -eq 130 ]; then scontrol requeue "$SLURM_JOB_ID"; fi  # stopped in order, not finished
exit $code
"""

_WHY_OFFICIAL = (
    "#    --protocol official: the published numbers are of the epoch that is best on the test split; drop it for yours"
)


@dataclass(frozen=True)
class PlanStep:
    """One command of the chain.

    Attributes:
        name: short.
        command: its words.
        time: how long it takes, in words.
        gpus: that it is planned for; 0 needs none.
    """

    name: str
    command: str
    time: str
    gpus: int = 0


def plan_cell(config: PlanConfig) -> None:
    """Print the chain of a cell, and write a script for SLURM of every training where a folder is named.

    Without a cell all are listed.

    Raises:
        ConfigError: there is no such cell.
    """
    if config.cell is None:
        for name, published in PUBLISHED.items():
            print(f"{name:<22} published top-1 {_scores(published)}")
        print("\nrspnet recipes plan CELL prints the commands that repeat one, with their hours")
        return
    cell = find_cell(config.cell, epochs=config.epochs)
    steps = chain(config, cell)
    print(f"# {cell.name}: published {cell.top1} (top-1 in %, {cell.epochs} epochs of pre-training on Kinetics-400)")
    for number, step in enumerate(steps, start=1):
        print(f"\n# {number}. {step.name}: {step.time}\n{step.command}")
    if config.out is None:
        return
    folder = Path(config.out)
    trainings = [step for step in steps if step.gpus]
    for step in trainings:
        text = _SBATCH.format(name=f"{cell.name}-{step.name}", gpus=step.gpus, command=step.command)
        write_text(folder / f"{step.name}.sbatch", text)
    first, second = (shlex.quote(str(folder / f"{step.name}.sbatch")) for step in trainings)
    print(f"\n# on SLURM:\nsbatch --dependency=afterok:$(sbatch --parsable {first}) {second}")


def _scores(published: Mapping[int, float]) -> str:
    return ", ".join(f"{top1} ({epochs} epochs)" for epochs, top1 in published.items())


def chain(config: PlanConfig, cell: Cell) -> list[PlanStep]:
    """The commands: pre-train, fine-tune, evaluate, compare."""
    gpus, tuning_gpus = config.gpus or cell.gpus, config.gpus or FINETUNING_GPUS
    batch = CLIPS_A_GPU.get(cell.name, _recipe(f"finetune/{cell.name}")["clips"]["batch_size"]) * tuning_gpus
    runs = f"{config.runs}/{cell.network}", f"{config.runs}/{cell.name}"
    before, after = (shlex.quote(run) for run in runs)
    longer = f" --epochs {cell.epochs}" if cell.epochs != _recipe(f"pretrain/k400-{cell.network}")["epochs"] else ""
    return [
        PlanStep(
            "pretrain",
            f"rspnet pretrain {shlex.quote(config.videos)} --recipe pretrain/k400-{cell.network}{longer}"
            f"{_devices(gpus)} --out {before} --engine.checkpoint_every 500 --resume",
            _pretraining_time(config, cell, gpus),
            gpus,
        ),
        PlanStep(
            "finetune",
            f"rspnet finetune {shlex.quote(config.dataset)} --recipe finetune/{cell.name} --weights {before}"
            f"{_devices(tuning_gpus)} --clips.batch_size {batch} --protocol official --out {after} --resume",
            f"{_finetuning_time(config, cell)}\n{_WHY_OFFICIAL}",
            tuning_gpus,
        ),
        PlanStep("evaluate", f"rspnet evaluate {after} --out {after}/evaluate", "minutes on one GPU; same view again"),
        PlanStep("compare", f"rspnet compare {after}", f"seconds; ends in: published {cell.top1}, yours ..."),
    ]


def _devices(gpus: int) -> str:
    return f" --engine.devices {gpus}" if gpus > 1 else ""


def _pretraining_time(config: PlanConfig, cell: Cell, gpus: int) -> str:
    clips = TRAINING_VIDEOS["k400"] * cell.epochs
    if config.pretrain_speed is not None:
        together = f"{counted(gpus, 'GPU')} together"
        return f"{as_time(clips / config.pretrain_speed)} at {config.pretrain_speed:g} clips/s of {together}"
    hours = cell.hours * cell.epochs / 200
    much = f"published {hours:g} h on {cell.gpus} V100"
    if cell.epochs != 200:
        much += f" ({cell.hours} h for 200 epochs)"
    return f"{much}; for yours give --pretrain_speed, the clips/s that rspnet pretrain shows"


def _finetuning_time(config: PlanConfig, cell: Cell) -> str:
    clips = TRAINING_VIDEOS[cell.dataset] * int(_recipe(f"finetune/{cell.name}")["epochs"])
    if config.finetune_speed is not None:
        return f"{as_time(clips / config.finetune_speed)} at {config.finetune_speed:g} clips/s, and the test"
    return f"{clips:,} clips; for the time give --finetune_speed, the clips/s that rspnet finetune shows"


def _recipe(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(recipe_path(name).read_text(encoding="utf-8"))
    return content
