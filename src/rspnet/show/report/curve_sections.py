"""Curves of a training, from the CSV its run left, as SVG drawings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rspnet.engine.curves import METRICS
from rspnet.show.report.report_page import Charts, Section
from rspnet.show.report.run_facts import RunFacts

_PANELS: dict[str, tuple[str, ...]] = {
    "Loss": ("loss", "appearance_loss", "motion_loss"),
    "RSP accuracy (chance 0.5)": ("motion_accuracy",),
    "A-VID accuracy: own video's key among the queue's first": (
        "appearance_top1_same",
        "appearance_top1_other",
        "appearance_top5_same",
        "appearance_top5_other",
    ),
    "Training accuracy": ("top1",),
    "Learning rate": ("lr",),
}
_SPEED = {"Clips a second": ("clips_per_second",), "Share of time spent waiting for data": ("data_wait_share",)}
_WHY_NOT = f"The run left no {METRICS}: it is no training, or wrote its curves elsewhere (--engine.loggers)."
_AXES = ("step", "epoch")
_LABELS = {
    "loss": "both",
    "appearance_loss": "A-VID",
    "motion_loss": "RSP",
    "appearance_top1_same": "top1, same speed",
    "appearance_top1_other": "top1, other speed",
    "appearance_top5_same": "top5, same speed",
    "appearance_top5_other": "top5, other speed",
}
_COLOURS = ("#2457a6", "#d7301f", "#1a9641", "#e09a06")
Points = Mapping[str, NDArray[np.float64]]


def learning_section(run: RunFacts) -> Section:
    """Losses, accuracies and learning rate over steps; metrics this version does not know get a drawing each."""
    points = _points(run)
    if not points:
        return Section("Learning curves", note=_WHY_NOT)
    known = {name for names in (*_PANELS.values(), *_SPEED.values(), _AXES) for name in names}
    panels = _PANELS | {name.replace("_", " "): (name,) for name in points if name not in known}
    return Section("Learning curves", [Charts(_charts(panels, points))])


def speed_section(run: RunFacts) -> Section:
    """Throughput and waiting time over steps."""
    points = _points(run)
    charts = _charts(_SPEED, points)
    return Section("Throughput", [Charts(charts)]) if charts else Section("Throughput", note=_WHY_NOT)


def speed_facts(run: RunFacts) -> list[tuple[str, str]]:
    """Median throughput and waiting time."""
    points = _points(run)
    facts = []
    if "clips_per_second" in points:
        facts.append(("clips a second, median", f"{np.median(points['clips_per_second']):.1f}"))
    if "data_wait_share" in points:
        facts.append(("of the time spent waiting for data, median", f"{np.median(points['data_wait_share']):.0%}"))
    return facts


def _points(run: RunFacts) -> Points:
    """The columns of metrics.csv; a cell that is no number is NaN."""
    rows = run.rows(METRICS)
    return {name: np.array([_number(row[name]) for row in rows]) for name in (rows[0] if rows else {})}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _charts(panels: Mapping[str, Sequence[str]], points: Points) -> list[tuple[str, str]]:
    return [
        (title, _draw(points["step"], {name: points[name] for name in names if name in points}))
        for title, names in panels.items()
        if "step" in points and any(name in points for name in names)
    ]


def _draw(steps: NDArray[np.float64], curves: Points) -> str:
    """One small drawing as an SVG element; its text stays text."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rspnet", "font.family": "sans-serif"}):
        figure = Figure(figsize=(4.6, 2.5), layout="constrained")
        axes = figure.subplots()
        for colour, (name, values) in zip(_COLOURS, curves.items(), strict=False):
            marker = "o" if len(steps) == 1 else None
            axes.plot(steps, values, color=colour, linewidth=1.3, marker=marker, label=_LABELS.get(name, name))
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1:
            axes.legend(fontsize=7, frameon=False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = file.getvalue()
    return text[text.index("<svg") :]
