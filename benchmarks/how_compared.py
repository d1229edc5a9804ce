"""The nearest training video by cosine, of vectors as they are, standardised, and whitened with several priors.

    python benchmarks/how_compared.py --data SHARED/data --out figures.json [--model rspnet-small]

Columns: human-motion's training videos, each character left out once (validation, where the prior was chosen), its test
videos by action and by action and character, and both real sets, each group left out once.
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

from rspnet.data.annotations import VideoRecord
from rspnet.features.descriptor import standardised
from rspnet.features.embedder import Embedder, VideoFeatures
from rspnet.features.spaces import unit_rows
from rspnet.features.whitening import Vectors, fit_whitening
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
    figures: dict[str, dict[str, float]] = {name: {} for name in comparisons()}
    for folder in (options.data / name for name in ("human-motion", "real/utd-mhad", "real/ut-interaction")):
        rows = list(csv.DictReader((folder / "clips.csv").open()))
        records = [VideoRecord(folder / (row.get("file") or row["path"]), str(n)) for n, row in enumerate(rows)]
        vectors = []
        for found in embedder.stream(records):
            assert isinstance(found, VideoFeatures), found
            vectors.append(embedder.describe(found.features))
        for column, labels, folds in questions(folder.name, rows):
            for name, compare in comparisons().items():
                figures[name][column] = share_found(np.stack(vectors), labels, folds, compare)
            print(column, {name: found[column] for name, found in figures.items()}, flush=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


def comparisons() -> dict[str, Compare]:
    """Name -> gallery and queries as they are compared."""
    found: dict[str, Compare] = {
        "as they are": lambda gallery, queries: (gallery, queries),
        "standardised": lambda gallery, queries: standardised(gallery, queries, "mean_std_change"),
    }
    for prior in PRIORS:

        def whiten(gallery: Vectors, queries: Vectors, prior: float = prior) -> tuple[Vectors, Vectors]:
            fitted = fit_whitening(gallery, prior=prior)
            return fitted(gallery), fitted(queries)

        found[f"whitened, prior {prior:g}"] = whiten
    return found


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


def share_found(vectors: Vectors, labels: NDArray[np.str_], folds: list[Fold], compare: Compare) -> float:
    """How often the nearest has the label, in %."""
    hits = []
    for train, test in folds:
        gallery, queries = (unit_rows(part) for part in compare(vectors[train], vectors[test]))
        hits.append(labels[train][(queries @ gallery.T).argmax(axis=1)] == labels[test])
    return round(100 * float(np.concatenate(hits).mean()), 1)


if __name__ == "__main__":
    main()
