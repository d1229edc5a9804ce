"""Curves of a training, from the CSV its run left, as SVG drawings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.engine.curves import METRICS
from rspnet.pretext.method import Panel
from rspnet.runs.pretraining_data import PretrainingClips
from rspnet.show.report.report_page import Charts, Section
from rspnet.show.report.run_facts import RunFacts

_LOSS = Panel("Loss", {"loss": "loss"})
_RATE = Panel("Learning rate", {"lr": "lr"})
_SPEED = (
    Panel("Clips a second", {"clips_per_second": "clips a second"}),
    Panel("Share of time spent waiting for data", {"data_wait_share": "share"}),
)
_WHY_NOT = f"The run left no {METRICS}: it is no training, or wrote its curves elsewhere (--engine.loggers)."
_AXES = ("step", "epoch")
_COLOURS = ("#2457a6", "#d7301f", "#1a9641", "#e09a06")
Points = Mapping[str, NDArray[np.float64]]


def learning_section(run: RunFacts) -> Section:
    """Losses, accuracies and learning rate over steps; metrics this version does not know get a drawing each."""
    points = _points(run)
    if not points:
        return Section("Learning curves", note=_WHY_NOT)
    panels = (*_panels(run), _RATE)
    known = {*_AXES, *(name for panel in (*panels, *_SPEED) for name in panel.curves)}
    others = (Panel(name.replace("_", " "), {name: name}) for name in points if name not in known)
    panels = (*panels, *others)
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


def _panels(run: RunFacts) -> tuple[Panel, ...]:
    """As the run's pretext method has them; the loss alone where the method is not known here."""
    if run.command != "pretrain":
        results = run.result.get("results", {})
        classes = results.get("classes")  # all that a result of an earlier version says
        chance = results.get("chance", 1 / classes if isinstance(classes, int) and classes > 0 else 0.0)
        return (_LOSS, Panel("Training accuracy", {"top1": "top1"}, chance))
    try:
        return run.method().panels(PretrainingClips.of(run.options("data")).played)
    except RSPNetError:
        return (_LOSS,)


def _points(run: RunFacts) -> Points:
    """The columns of metrics.csv; a cell that is no number is NaN."""
    rows = run.rows(METRICS)
    return {name: np.array([_number(row[name]) for row in rows]) for name in (rows[0] if rows else {})}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _charts(panels: Sequence[Panel], points: Points) -> list[tuple[str, str]]:
    return [
        (panel.title, _draw(panel, points))
        for panel in panels
        if "step" in points and any(name in points for name in panel.curves)
    ]


def _draw(panel: Panel, points: Points) -> str:
    """One small drawing as an SVG element; its text stays text."""
    curves = {label: points[name] for name, label in panel.curves.items() if name in points}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rspnet", "font.family": "sans-serif"}):
        figure = Figure(figsize=(4.6, 2.5), layout="constrained")
        axes = figure.subplots()
        for colour, (label, values) in zip(_COLOURS, curves.items(), strict=False):
            marker = "o" if len(points["step"]) == 1 else None
            axes.plot(points["step"], values, color=colour, linewidth=1.3, marker=marker, label=label)
        if panel.chance is not None:
            axes.axhline(panel.chance, color="black", linewidth=0.8, linestyle=":")
            lowest = min((np.nanmin(values) for values in curves.values() if np.isfinite(values).any()), default=1.0)
            axes.set_ylim(min(panel.chance, float(lowest)), 1)
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
