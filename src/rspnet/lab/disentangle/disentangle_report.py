"""The disentanglement report as Markdown and as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rspnet.core.files import atomic_path
from rspnet.lab.disentangle.binomial import Share
from rspnet.lab.disentangle.factor_probes import SPACES, FactorProbe
from rspnet.lab.disentangle.shortcuts import ShortcutLine

_COLOURS = {"pass": "#1a9641", "fail": "#d7301f", "moot": "#8a8f98", "undecided": "#8a8f98"}
_SPACE_COLOURS = ("#4c566a", "#2b83ba", "#f0a30a")


def report_text(
    model: str,
    protocol: Mapping[str, Any],
    probes: Sequence[FactorProbe],
    lines: Sequence[ShortcutLine],
    *,
    energy: float,
    picture: str,
) -> str:
    """The whole report."""
    weights = "fresh weights (the control)" if protocol["random_init"] else f"weights {protocol['tensors_sha256'][:12]}"
    return "\n".join(
        [
            f"# What `{model}` holds, and by what its RSP head goes",
            "",
            f"{protocol['backbone']} on {protocol['input']}, {weights}; clips of {protocol['num_frames']} frames x "
            f"{protocol['size']}², {protocol['num_clips']} a video. Intervals: 95 %, Wilson.",
            "",
            f"![probes and shortcut tests]({picture})",
            "",
            "## Linear probes (accuracy %, videos and backgrounds held out)",
            "",
            *_probe_table(probes),
            "",
            "*above chance*: the backbone's interval lies above chance (the commonest value's share). *own head*: the "
            "motion head reads speed, direction and motion better than the appearance head does, and the other way "
            "round for texture, colour and background (one-sided exact McNemar test, p < 0.05; fail if the other "
            "head is better by the same test).",
            "",
            f"## Shortcut tests (RSP accuracy %, {lines[0].share.decided} triples, speeds 1 and {protocol['speed']})",
            "",
            *_shortcut_table(lines),
            "",
            f"Motion energy (mean absolute frame difference) alone is right in {100 * energy:.1f} % of the triples. "
            "Ties are left out. *moot*: the head recognises no speed on the originals, so there is nothing to explain.",
            "",
        ]
    )


def _probe_table(probes: Sequence[FactorProbe]) -> list[str]:
    rows = [f"| factor | chance | {' | '.join(SPACES)} | above chance | own head |", "|---|---|---|---|---|---|---|"]
    for probe in probes:
        cells = " | ".join(_with_interval(probe.shares[space]) for space in SPACES)
        rows.append(
            f"| {probe.factor} | {100 * probe.chance:.1f} | {cells} | {probe.above_chance} | {probe.own_head} |"
        )
    return rows


def _shortcut_table(lines: Sequence[ShortcutLine]) -> list[str]:
    rows = ["| test | accuracy | ties | verdict | holds if |", "|---|---|---|---|---|"]
    for line in lines:
        cells = f"{_with_interval(line.share)} | {line.share.ties} | **{line.verdict}** | {line.rule}"
        rows.append(f"| {line.name} | {cells} |")
    return rows


def _with_interval(share: Share) -> str:
    if not share.decided:
        return "all ties"
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def draw_report(path: Path, probes: Sequence[FactorProbe], lines: Sequence[ShortcutLine]) -> None:
    """Probes as bars on the left, shortcut tests as points with intervals on the right."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_probes(left, probes)
    _draw_lines(right, lines)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=110)


def _draw_probes(axes: Axes, probes: Sequence[FactorProbe]) -> None:
    places = np.arange(len(probes))
    for number, (space, colour) in enumerate(zip(SPACES, _SPACE_COLOURS, strict=True)):
        shares = [probe.shares[space] for probe in probes]
        values = [share.value for share in shares]
        errors = [[s.value - s.low for s in shares], [s.high - s.value for s in shares]]
        axes.bar(places + 0.27 * (number - 1), values, 0.25, yerr=errors, color=colour, label=space, capsize=2)
    for place, probe in enumerate(probes):
        label = "chance" if place == 0 else None
        axes.plot([place - 0.45, place + 0.45], [probe.chance] * 2, color="black", linestyle=":", label=label)
    axes.set_xticks(places, [probe.factor for probe in probes])
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy of a linear probe")
    axes.legend(fontsize=8)


def _draw_lines(axes: Axes, lines: Sequence[ShortcutLine]) -> None:
    for place, line in enumerate(lines):
        share, colour = line.share, _COLOURS[line.verdict]
        axes.plot([share.low, share.high], [place, place], color=colour)
        axes.plot(share.value, place, "o", color=colour)
        axes.annotate(line.verdict, (1.01, place), color=colour, fontsize=8, va="center", annotation_clip=False)
    axes.axvline(0.5, color="black", linestyle=":")
    axes.set_yticks(range(len(lines)), [line.name for line in lines], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("RSP accuracy, 95 % interval (dotted: chance)")
