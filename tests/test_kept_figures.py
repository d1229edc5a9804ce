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
ADAPTED, TRAINED, LARGE = (
    [f"{name}{seed}" for seed in ("", "-seed1", "-seed2")]
    for name in ("adapted-to-human-motion", "trained-on-human-motion", "adapted-64px")
)
KNOWS = {
    "motion energy, hand-made": (["rspnet-small:energy"], "energy"),
    "the network with fresh weights, mean of three seeds": (FRESH, "motion stream"),
    "the same, trained (`rspnet study shipped`), mean of three seeds": (SMALL, "motion stream"),
    "rspnet-small, the file in the package": (SMALL[:1], "motion stream"),
    "rspnet-small's appearance stream": (SMALL[:1], "appearance stream"),
    "both streams together": (SMALL[:1], "both streams"),
}
FURTHER = {
    "rspnet-small as shipped": SMALL[:1],
    **{f"adapted, seed {seed}": ADAPTED[seed : seed + 1] for seed in range(3)},
    "adapted, mean": ADAPTED,
    **{f"fresh weights, 1,000 steps, seed {seed}": TRAINED[seed : seed + 1] for seed in range(3)},
    "fresh weights, mean": TRAINED,
    "adapted at 64², mean of three seeds": LARGE,
    "adapted, 2,000 steps, seed 0": ["adapted-2000-steps"],
    "rspnet-small's recipe on 2,400 drawn videos, 1,000 steps, seed 0 (figures)": ["rspnet-small-1000-steps"],
    "the same, 2,000 steps (figures)": ["rspnet-small-2000-steps"],
}


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


def as_both(names: list[str], part: str, column: tuple[str, str]) -> tuple[float, ...]:
    return tuple(float(kept(names, part, column, score).mean()) for score in ("linear", "R@1"))


@pytest.mark.parametrize("label", KNOWS)
def test_what_the_shipped_weights_know(label: str) -> None:
    names, part = KNOWS[label]
    for cell, column in zip(row_of(PAGE, label, 4), (UTD, UTI, HUMAN, PAIR), strict=True):
        said = tuple(map(float, cell.split(" / ")))
        assert said == pytest.approx(as_both(names, part, column), abs=0.051), (cell, column)


@pytest.mark.parametrize("label", FURTHER)
def test_networks_trained_further_and_what_did_not_help(label: str) -> None:
    for cell, column in zip(row_of(PAGE, label, 4), (HUMAN, PAIR, UTD, UTI), strict=True):
        said = tuple(map(float, cell.split(" / ")))
        assert said == pytest.approx(as_both(FURTHER[label], "motion stream", column), abs=0.051), (cell, column)


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
