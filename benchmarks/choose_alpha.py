"""Figures of docs/rspnet-small.md: which `--alpha` of rspnet search finds who does what?

    python benchmarks/choose_alpha.py --data SHARED/data --out figures.json --models A/last.ckpt B/last.ckpt

Action and character of human-motion, first hit in %, as weights_on_sets.py scores the search by both spaces: in
validation, each background of the training videos left out once, and on the test videos of known characters.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch
from weights_on_sets import SEARCHED, described, searched_by_both

from rspnet.features.embedder import Embedder
from rspnet.pretext.pretrained import load_pretrained

ALPHAS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
LABEL = "action and character"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with human-motion")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--num_clips", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.data / "human-motion"
    rows = list(csv.DictReader((folder / "clips.csv").open()))
    train = np.array([row["split"] == "train" for row in rows])
    # A set with groups leaves each of them out: here the backgrounds.
    places = [{"group": row["background"], "label": row["class"] + row["character"]} for row in rows]
    validation = [place for place, row in zip(places, rows, strict=True) if row["split"] == "train"]
    figures: dict[str, dict[str, float]] = {}
    for number, model in enumerate(options.models):
        embedder = Embedder(load_pretrained(model), num_clips=options.num_clips)
        spaces = described(embedder, [folder / row["file"] for row in rows])
        motion, look = (spaces[space] for space in SEARCHED)
        for alpha in ALPHAS:
            chosen = searched_by_both(motion[train], look[train], validation, alpha)["action, R@1"]
            tested = searched_by_both(motion, look, rows, alpha)[f"{LABEL}, R@1"]
            figures[f"model {number}, alpha {alpha:g}"] = {"validation": chosen, "test": tested}
            print(model, alpha, figures[f"model {number}, alpha {alpha:g}"], flush=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
