"""The tables of README and docs/rspnet-small.md say what the kept results in docs/evidence say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
README, PAGE = (ROOT / name for name in ("README.md", "docs/rspnet-small.md"))
HUMAN, PAIR = ("human-motion", "action"), ("human-motion", "action and character")
UTD, UTI = ("utd-mhad", "action"), ("ut-interaction", "action")
VIDEOS = {HUMAN: 360, PAIR: 168, UTD: 160, UTI: 120}
SMALL = [f"rspnet-small{seed}" for seed in ("", "-seed1", "-seed2")]
FRESH = [f"{name}:untrained" for name in ("rspnet-small", "untrained-seed1", "untrained-seed2")]
ADAPTED, TRAINED, LARGE, WARM, WIDE, LONG = (
    [f"{name}{seed}" for seed in ("", "-seed1", "-seed2")]
    for name in (
        "adapted-to-human-motion",
        "trained-on-human-motion",
        "adapted-64px",
        "temperature-0.2",
        "batch-64",
        "steps-2000",
    )
)
KNOWS, FURTHER = (UTD, UTI, HUMAN, PAIR), (HUMAN, PAIR, UTD, UTI)
"""The columns of the page's tables."""
ROWS = {
    "motion energy, hand-made": (["rspnet-small:energy"], "energy", KNOWS),
    "the network with fresh weights, mean of three seeds": (FRESH, "motion stream", KNOWS),
    "the same, trained (`rspnet study shipped`), mean of three seeds": (SMALL, "motion stream", KNOWS),
    "rspnet-small, the file in the package": (SMALL[:1], "motion stream", KNOWS),
    "rspnet-small's appearance stream": (SMALL[:1], "appearance stream", KNOWS),
    "both streams together": (SMALL[:1], "both streams", KNOWS),
    "rspnet-small as shipped": (SMALL[:1], "motion stream", FURTHER),
    **{f"adapted, seed {seed}": ([ADAPTED[seed]], "motion stream", FURTHER) for seed in range(3)},
    "adapted, mean": (ADAPTED, "motion stream", FURTHER),
    **{f"fresh weights, 1,000 steps, seed {seed}": ([TRAINED[seed]], "motion stream", FURTHER) for seed in range(3)},
    "fresh weights, mean": (TRAINED, "motion stream", FURTHER),
    "fresh weights, batches of 64, mean of three seeds": (WIDE, "motion stream", FURTHER),
    "fresh weights, 2,000 steps, mean of three seeds": (LONG, "motion stream", FURTHER),
    "adapted at 64², mean of three seeds": (LARGE, "motion stream", FURTHER),
    "temperature 0.2 (`--model.temperature 0.2`): fresh weights, 1,000 steps, mean of three seeds": (
        WARM, "motion stream", FURTHER,
    ),
    "adapted, 2,000 steps, seed 0": (["adapted-2000-steps"], "motion stream", FURTHER),
    "rspnet-small's recipe on 2,400 drawn videos, 1,000 steps, seed 0 (figures)": (
        ["rspnet-small-1000-steps"], "motion stream", FURTHER,
    ),
    "the same, 2,000 steps (figures)": (["rspnet-small-2000-steps"], "motion stream", FURTHER),
}  # fmt: skip


def row_of(page: Path, label: str, columns: int) -> list[str]:
    """The cells behind the label of the one row of so many columns; bold and links are left out of both."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", page.read_text(encoding="utf-8").replace("**", ""))
    rows = [line.strip("|").split("|")[1:] for line in text.splitlines() if line.startswith(f"| {label} |")]
    found = [[cell.strip() for cell in row] for row in rows if len(row) == columns]
    assert len(found) == 1, (label, found)
    return found[0]


def kept(names: list[str], part: str, column: tuple[str, str], score: str) -> np.ndarray:
    """A score of each of the kept results, in %: the share of the videos whose rounded figure was kept."""
    found = []
    for name in names:
        file, _, network = name.partition(":")
        rows = json.loads((ROOT / "docs" / "evidence" / f"{file}.json").read_text(encoding="utf-8"))
        found.append(rows[f"{column[0]} {network or 'trained'} {part}"][f"{column[1]}, {score}"])
    right = [round(figure / 100 * VIDEOS[column]) for figure in found]
    return 100 * np.array(right) / VIDEOS[column]


@pytest.mark.parametrize("label", ROWS)
def test_rows_of_the_page_of_rspnet_small(label: str) -> None:
    names, part, columns = ROWS[label]
    for cell, column in zip(row_of(PAGE, label, len(columns)), columns, strict=True):
        said = [float(figure) for figure in cell.split(" / ")]
        expected = [float(kept(names, part, column, score).mean()) for score in ("linear", "R@1")]
        assert said == pytest.approx(expected, abs=0.051), (cell, column)


@pytest.mark.parametrize(
    ("label", "names", "part"),
    [
        ("hand-made motion energy", ["rspnet-small:energy"], "energy"),
        ("the network with fresh weights", FRESH, "motion stream"),
        ("the network, trained as `rspnet-small` was", SMALL, "motion stream"),
        ("`rspnet-small`, the file in the package", SMALL[:1], "motion stream"),
    ],
)
def test_means_and_intervals_of_the_readme(label: str, names: list[str], part: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    for cell, column in zip(row_of(README, label, 2), (UTD, UTI), strict=True):
        values = kept(names, part, column, "linear")
        expected = [float(values.mean())]
        if len(values) > 1:
            expected += stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        assert [float(word) for word in re.findall(r"[\d.]+", cell)] == pytest.approx(expected, abs=0.051), (
            cell,
            column,
        )
