"""Figures of docs/timelines.md: can the vectors say that a window is unlike all that was labelled?

    python benchmarks/unlike_labelled.py --data SHARED/data --out folder

All videos of a set but those of one group (a person, a sequence, a character) are labelled. A window's strangeness is
its distance from the nearest labelled window, in the standardised space of the classifier or between unit vectors, or
the local outlier factor of unit vectors (mean distance from the 5 nearest over theirs; Breunig et al., SIGMOD 2000,
without their smoothing). The bound is the 99th percentile of labelled windows with their groups left out (5 folds).
Printed: of 100 windows how many lie beyond it, of the left-out group ("own") and of the other sets; means over groups.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.cli import main as rspnet
from rspnet.core.rng import numpy_rng
from rspnet.features.read import read_features
from rspnet.features.spaces import unit_rows

Floats = NDArray[np.floating]
SETS = {"utd-mhad": "real/utd-mhad", "ut-interaction": "real/ut-interaction", "human-motion": "human-motion"}
MOST_VIDEOS, FOLDS, NEIGHBOURS = 160, 5, 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--weights", default="rspnet-small")
    options = parser.parse_args()
    sets = {name: windows(options.data / place, options.out / name, options.weights) for name, place in SETS.items()}
    for home, (vectors, groups) in sets.items():
        others = {name: found for name, (found, _) in sets.items() if name != home}
        for kind, strangeness in MEASURES.items():
            beyond = [marked(strangeness, vectors, groups, group, others) for group in np.unique(groups)]
            means = {name: f"{100 * np.mean([row[name] for row in beyond]):.1f}" for name in beyond[0]}
            print(f"labelled {home}, {kind}: {means}", flush=True)


def windows(folder: Path, out: Path, weights: str) -> tuple[Floats, NDArray[np.str_]]:
    """Vectors of all windows [n, D] of some drawn videos of a set, and their groups."""
    rows = list(csv.DictReader((folder / "clips.csv").open()))
    drawn = [rows[place] for place in numpy_rng("videos").permutation(len(rows))[:MOST_VIDEOS]]
    of_path = {str(folder / (row.get("file") or row["path"])): row for row in drawn}
    words = ["embed", *of_path, f"--weights={weights}", "--window_s=2", "--hop_s=1", f"--out={out}"]
    assert rspnet(words) == 0
    found = read_features(out)
    paths = found.table["path"].to_pylist()
    groups = [of_path[path].get("group") or Path(path).stem.split("_")[2] for path in paths]
    return np.asarray(found.features, np.float32), np.array(groups)


def distances(one: Floats, other: Floats) -> Floats:
    """[n, D], [m, D] -> [n, m]."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def nearest_standardised(labelled: Floats, asked: Floats) -> Floats:
    """As the classifier standardises."""
    mean, scale = labelled.mean(axis=0), np.maximum(labelled.std(axis=0), 1e-12)
    return np.asarray(distances((asked - mean) / scale, (labelled - mean) / scale).min(axis=1))


def nearest_unit(labelled: Floats, asked: Floats) -> Floats:
    """Between unit vectors."""
    return np.asarray(distances(unit_rows(asked), unit_rows(labelled)).min(axis=1))


def outlier_factor(labelled: Floats, asked: Floats) -> Floats:
    """How much further from its neighbours than these are from theirs."""
    labelled, asked = unit_rows(labelled), unit_rows(asked)
    own = np.sort(distances(labelled, labelled), axis=1)[:, 1 : NEIGHBOURS + 1].mean(axis=1)
    far = distances(asked, labelled)
    near = np.argpartition(far, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return np.asarray(np.take_along_axis(far, near, axis=1).mean(axis=1) / own[near].mean(axis=1))


MEASURES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "nearest, standardised": nearest_standardised,
    "nearest, unit vectors": nearest_unit,
    "outlier factor": outlier_factor,
}


def marked(
    strangeness: Callable[[Floats, Floats], Floats],
    vectors: Floats,
    groups: NDArray[np.str_],
    left_out: str,
    others: dict[str, Floats],
) -> dict[str, float]:
    """Shares of windows beyond the bound."""
    own = groups == left_out
    labelled, units = vectors[~own], groups[~own]
    order = numpy_rng("folds").permutation(np.unique(units))
    tests = [np.isin(units, order[number::FOLDS]) for number in range(min(FOLDS, len(order)))]
    held_out = np.concatenate([strangeness(labelled[~test], labelled[test]) for test in tests])
    bound = np.percentile(held_out, 99)
    return {
        name: float((strangeness(labelled, asked) > bound).mean())
        for name, asked in {"own": vectors[own], **others}.items()
    }


if __name__ == "__main__":
    main()
