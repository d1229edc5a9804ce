"""Gather the runs of `small_scale.py` into one small JSON, a table and a picture.

    python benchmarks/small_scale_table.py --out WORK --evidence docs/evidence

With --evidence alone the documents are made again from docs/evidence/small-scale.json.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from rspnet.core.files import atomic_path, write_text

DATA, TABLE, PICTURE = "small-scale.json", "small-scale.md", "small-scale-start.png"
SCORES = {
    "human-motion": (
        "rsp_plain",
        "rsp_noise",
        "action_linear_stride1",
        "action_recall1_stride1",
        "action_recall1_stride2",
    ),
    "procedural": (
        "rsp_plain",
        "rsp_noise",
        "motion_linear_stride1",
        "motion_recall1_stride1",
        "texture_recall1_stride1",
    ),
}
Rows = list[dict[str, Any]]


def collect(work: Path) -> Rows:
    """All runs, with only what the documents need."""
    rows = []
    for path in sorted((work / "runs").glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        looks = [{k: round(v, 4) for k, v in look.items()} for look in run["diagnostics"]]
        scores = {name: round(value, 4) for name, value in run["scores"].items()}
        variant = {name: value for name, value in run["variant"].items() if name != "name"}
        rows.append(
            {
                "source": run["source"],
                "name": run["variant"]["name"],
                "seed": run["seed"],
                "variant": variant,
                "scores": scores,
                "train_cpu_seconds": round(run["train_cpu_seconds"]),
                "diagnostics": looks,
            }
        )
    return rows


def interval(values: list[float]) -> str:
    """Mean with the half width of its 95 % Student interval over seeds, where there are at least two."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return f"{mean:.3f} ± {half:.3f}"


def score_table(rows: Rows, source: str) -> list[str]:
    """One line a variant: mean over seeds, and the mean difference to `base` on the seeds both have."""
    runs: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if row["source"] == source:
            runs[row["name"]][row["seed"]] = row
    names = SCORES[source]
    lines = [f"| variant | seeds | {' | '.join(names)} | {names[3]} − base | CPU s |", "|" + "---|" * (len(names) + 4)]
    base = runs.get("base", {})
    for name in sorted(runs, key=lambda n: (n.startswith("alone"), n not in ("untrained", "base"), n)):
        seeds = runs[name]
        cells = [interval([row["scores"][score] for row in seeds.values()]) for score in names]
        common = sorted(seeds.keys() & base.keys())
        gains = [seeds[s]["scores"][names[3]] - base[s]["scores"][names[3]] for s in common]
        gain = interval(gains) if gains and name != "base" else ""
        seconds = round(float(np.mean([row["train_cpu_seconds"] for row in seeds.values()])))
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} | {gain} | {seconds} |")
    return lines


def shown(row: dict[str, Any]) -> bool:
    """Whether a run is among those whose first steps are shown: RSP alone, and the base."""
    return row["seed"] == 0 and (row["name"].startswith("alone") or row["name"] == "base")


def start_table(rows: Rows) -> list[str]:
    """What the diagnostics saw of RSP in the first steps."""
    columns = ["step", "accuracy", "saturated", "gap_q05", "gap_q50", "gap_q95"]
    columns += ["motion_mean_cosine", "motion_effective_rank", "gradient_motion"]
    lines = [f"| variant | {' | '.join(columns)} |", "|" + "---|" * (len(columns) + 1)]
    for row in rows:
        if shown(row):
            for look in row["diagnostics"]:
                cells = " | ".join(f"{look[name]:g}" if name == "step" else f"{look[name]:.2f}" for name in columns)
                lines.append(f"| {row['name']} | {cells} |")
    return lines


def draw(rows: Rows, path: Path) -> None:
    """Collapse, saturation and gradient of RSP over the first steps, one line a variant."""
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    titles = {
        "motion_mean_cosine": "mean cosine of motion vectors (1: collapsed)",
        "saturated": "share of hinges that send no gradient",
        "gradient_motion": "norm of the RSP gradient on the backbone",
    }
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        for row in rows:
            if shown(row):
                steps = [look["step"] + 1 for look in row["diagnostics"]]
                style = "--" if row["variant"]["input"] == "rgb" else "-"
                axes.plot(steps, [look[name] for look in row["diagnostics"]], style, label=row["name"])
        axes.set_xscale("log")
        axes.set_yscale("log" if name == "gradient_motion" else "linear")
        axes.set_xlabel("step (dashed: RGB)")
        axes.set_title(title, fontsize=9)
    figure.axes[0].legend(fontsize=6)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=100)


def document(rows: Rows) -> str:
    """The generated Markdown."""
    parts = ["<!-- generated by benchmarks/small_scale_table.py from small-scale.json: do not edit -->", ""]
    for source in SCORES:
        if any(row["source"] == source for row in rows):
            parts += [f"## {source}", "", *score_table(rows, source), ""]
    parts += [
        "## The first steps of RSP (seed 0, batch of 32)",
        "",
        f"![first steps]({PICTURE})",
        "",
        *start_table(rows),
    ]
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out")
    parser.add_argument("--evidence", default="docs/evidence")
    arguments = parser.parse_args()
    evidence = Path(arguments.evidence)
    if arguments.out:
        lines = ",\n".join(json.dumps(row) for row in collect(Path(arguments.out)))
        write_text(evidence / DATA, f"[\n{lines}\n]\n")
    found: Rows = json.loads((evidence / DATA).read_text(encoding="utf-8"))
    write_text(evidence / TABLE, document(found))
    draw(found, evidence / PICTURE)
