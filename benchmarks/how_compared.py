"""The nearest training video by cosine, of vectors as they are, standardised, and whitened with several priors.

    python benchmarks/how_compared.py --data SHARED/data --out figures.json [--model rspnet-small]

Columns: human-motion's training videos, each character left out once (validation, where the prior was chosen), its test
videos by action and by action and character, and both real sets, each group left out once; of each also what 20
neighbours vote for, as in rspnet probe. human-motion is compared by the map of UTD-MHAD, too.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.commands.probe import NEIGHBOURS, TEMPERATURE
from rspnet.data.annotations import VideoRecord
from rspnet.features.descriptor import standardised
from rspnet.features.embedder import Embedder, VideoFeatures
from rspnet.features.linear_probe import nearest_scores
from rspnet.features.spaces import unit_rows
from rspnet.features.whitening import Vectors, Whitening, fit_whitening
from rspnet.pretext.pretrained import load_pretrained

PRIORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
Fold = tuple[NDArray[np.bool_], NDArray[np.bool_]]
Compare = Callable[[Vectors, Vectors], tuple[Vectors, Vectors]]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with human-motion and real/")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--model", default="rspnet-small")
    options = parser.parse_args()
    torch.set_num_threads(1)
    embedder = Embedder(load_pretrained(options.model), num_clips=10)
    folders = [options.data / name for name in ("human-motion", "real/utd-mhad", "real/ut-interaction")]
    rows = {folder.name: list(csv.DictReader((folder / "clips.csv").open())) for folder in folders}
    vectors = {folder.name: described(embedder, folder, rows[folder.name]) for folder in folders}
    figures: dict[str, dict[str, float]] = {}
    for name, own in rows.items():
        compared = comparisons()
        if name == "human-motion":
            compared["whitened, prior 10, map of utd-mhad"] = by_map(fit_whitening(vectors["utd-mhad"]))
        for column, labels, folds in questions(name, own):
            for how, compare in compared.items():
                nearest, votes = shares_found(vectors[name], labels, folds, compare)
                figures.setdefault(how, {}).update({column: nearest, f"{column}, {NEIGHBOURS} votes": votes})
                print(column, how, nearest, votes, flush=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")


def described(embedder: Embedder, folder: Path, rows: list[dict[str, str]]) -> Vectors:
    """Descriptors [N, D] of a set's videos."""
    records = [VideoRecord(folder / (row.get("file") or row["path"]), str(n)) for n, row in enumerate(rows)]
    found = []
    for features in embedder.stream(records):
        assert isinstance(features, VideoFeatures), features
        found.append(embedder.describe(features.features))
    return np.stack(found)


def comparisons() -> dict[str, Compare]:
    """Name -> gallery and queries as they are compared."""
    found: dict[str, Compare] = {
        "as they are": lambda gallery, queries: (gallery, queries),
        "standardised": lambda gallery, queries: standardised(gallery, queries, "mean_std_change"),
    }
    for prior in PRIORS:
        found[f"whitened, prior {prior:g}"] = lambda gallery, queries, prior=prior: by_map(
            fit_whitening(gallery, prior=prior)
        )(gallery, queries)
    return found


def by_map(fitted: Whitening) -> Compare:
    """Both sides under one map."""
    return lambda gallery, queries: (fitted(gallery), fitted(queries))


def questions(name: str, rows: list[dict[str, str]]) -> Iterator[tuple[str, NDArray[np.str_], list[Fold]]]:
    """(column, labels, folds as masks of training and test videos) of a set."""
    if name != "human-motion":
        groups = np.array([row["group"] for row in rows])
        yield name, np.array([row["label"] for row in rows]), [(groups != g, groups == g) for g in np.unique(groups)]
        return
    train = np.array([row["split"] == "train" for row in rows])
    who = np.array([row["character"] for row in rows])
    known = np.array([row["held_out_character"] == "0" for row in rows])
    actions = np.array([row["class"] for row in rows])
    yield "validation", actions, [(train & (who != one), train & (who == one)) for one in np.unique(who[train])]
    yield "human-motion, action", actions, [(train, ~train)]
    yield "human-motion, action and character", np.char.add(actions, who), [(train, ~train & known)]


def shares_found(
    vectors: Vectors, labels: NDArray[np.str_], folds: list[Fold], compare: Compare
) -> tuple[float, float]:
    """How often the nearest has the label, and how often 20 neighbours vote for it, in %."""
    nearest, votes = [], []
    names, numbers = np.unique(labels, return_inverse=True)
    for train, test in folds:
        gallery, queries = (unit_rows(part) for part in compare(vectors[train], vectors[test]))
        nearest.append(numbers[train][(queries @ gallery.T).argmax(axis=1)] == numbers[test])
        count, few = len(names), min(NEIGHBOURS, len(gallery))
        scores = nearest_scores(
            gallery, numbers[train], queries, num_classes=count, neighbours=few, temperature=TEMPERATURE
        )
        votes.append(scores.argmax(axis=1) == numbers[test])
    return (round(100 * float(np.concatenate(nearest).mean()), 1), round(100 * float(np.concatenate(votes).mean()), 1))


if __name__ == "__main__":
    main()
