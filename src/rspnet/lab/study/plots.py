"""Pictures of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rspnet.core.files import atomic_path
from rspnet.lab.study.comparisons import mean_of
from rspnet.lab.study.rows import training_seconds
from rspnet.lab.study.shown import main_scores
from rspnet.lab.study.spec import CPU_SECONDS, Study, option


def draw_study(path: Path, study: Study, rows: list[dict[str, Any]]) -> None:
    """One panel a task: means with 95 % intervals over seeds, by run, or against what `study.x` says."""
    size = 5.2 if study.x == CPU_SECONDS else 3.6
    figure = Figure(figsize=(size * len(study.tasks) + 0.8, size), layout="constrained")
    panels = figure.subplots(1, len(study.tasks), squeeze=False)[0]
    runs = [run for run in study.runs if any(row["run"] == run for row in rows)]
    drawn = main_scores(study)
    shifts = np.linspace(-0.12, 0.12, len(drawn)).tolist()
    for axes, task in zip(panels, study.tasks, strict=True):
        for shift, (score, label) in zip(shifts, drawn.items(), strict=True):
            found = [mean_of([row["scores"][task][score] for row in rows if row["run"] == run]) for run in runs]
            middle = np.array([mean.value for mean in found])
            reach = np.array([0.0 if mean.high is None else mean.high - mean.value for mean in found])
            places = [_place(study, rows, run, number) for number, run in enumerate(runs)]
            moved = places if study.x else [place + shift for place in places]
            line = "-" if study.x and study.x != CPU_SECONDS else "none"
            axes.errorbar(moved, middle, yerr=reach, fmt="o", linestyle=line, capsize=3, label=label)
            if study.x == CPU_SECONDS and score == next(iter(drawn)):
                _name_points(axes, runs, places, middle.tolist())
        _name(axes, study, runs)
        axes.set_title(task)
        axes.set_ylim(0, 1)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("share right, mean and 95 % interval")
    panels[0].legend()
    _save(path, figure)


def draw_oracle(path: Path, oracle: dict[str, Any]) -> None:
    """How far the energies of slow and fast clips overlap, and what they show."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    slow, fast = (np.array(oracle["energies"][name]) for name in ("1", "fast"))
    edges = np.linspace(0, float(np.quantile(np.concatenate([slow, fast]), 0.98)), 40)
    speeds = " or ".join(map(str, oracle["speeds"][1:]))
    for energies, label in ((slow, "speed 1"), (fast, f"speed {speeds}")):
        axes.hist(energies, bins=edges.tolist(), alpha=0.55, label=label)
    axes.axvline(oracle["threshold"], color="black", linestyle="--", label="best threshold on training videos")
    axes.set_xlabel("mean absolute frame difference of a clip (levels)")
    axes.set_ylabel("test clips")
    axes.set_title(f"absolute speed {oracle['absolute']:.2f} right, relative speed {oracle['relative']:.2f}")
    axes.legend()
    _save(path, figure)


def _place(study: Study, rows: list[dict[str, Any]], run: str, number: int) -> float:
    if study.x is None:
        return float(number)
    own = [row for row in rows if row["run"] == run]
    return training_seconds(own) if study.x == CPU_SECONDS else float(option(own[0]["protocol"], study.x))


def _name_points(axes: Axes, runs: list[str], places: list[float], heights: list[float]) -> None:
    """Each point with its run's name, slanted so that neighbours keep apart."""
    for run, place, height in zip(runs, places, heights, strict=True):
        axes.annotate(run, (place, height), (3, 4), textcoords="offset points", fontsize=6, rotation=35)


def _name(axes: Axes, study: Study, runs: list[str]) -> None:
    if study.x == CPU_SECONDS:
        axes.set_xscale("symlog", linthresh=10)
        axes.margins(x=0.15)
        axes.set_xlabel("CPU seconds of pre-training")
    elif study.x:
        axes.set_xlabel(study.x)
    else:
        axes.set_xticks(range(len(runs)), runs, rotation=40, ha="right", rotation_mode="anchor")


def _save(path: Path, figure: Figure) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
