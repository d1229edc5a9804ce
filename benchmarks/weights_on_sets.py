"""Figures of docs/rspnet-small.md: a network's frozen features on sets it has never seen, beside two baselines.

    python benchmarks/weights_on_sets.py --data SHARED/data --out figures.json [--model rspnet-small] [--sets utd-mhad]

Every video becomes the descriptor of its clips' vectors (head vectors: their mean); then a ridge classifier (penalty
100) on vectors standardised over the training videos, and the nearest training video by cosine, whitened as in rspnet
retrieve (of head vectors as they are). Search by motion, by look, and by both at --alpha: what rspnet search compares,
the video as one window. human-motion has its own test split; of the real sets every group (a person, a sequence) is
left out once. Baselines: the same network with fresh weights, and motion energy (absolute differences of 24 x 24 grey
pictures in three stretches of time).
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.config.search import DEFAULT_ALPHA
from rspnet.core.rng import derive_seed
from rspnet.data.annotations import VideoRecord
from rspnet.features.descriptor import Descriptor, describe
from rspnet.features.embedder import Embedder, VideoFeatures
from rspnet.features.ridge_probe import ridge_and_nearest
from rspnet.features.spaces import Stream, stream_channels
from rspnet.features.whitening import whitened
from rspnet.lab.study.judged import motion_energy
from rspnet.pretext.create import fresh_twin
from rspnet.pretext.pretrained import load_pretrained
from rspnet.search.library_tables import joined

HEADS = ("motion head", "appearance head")
SEARCHED = ("search by motion", "search by look")
Rows = list[dict[str, str]]
Vectors = NDArray[np.float32]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with human-motion and real/")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--model", default="rspnet-small")
    parser.add_argument("--num_clips", type=int, default=10)
    parser.add_argument("--alpha", type=float, default=DEFAULT_ALPHA, help="weight of motion in the search by both")
    parser.add_argument("--seed", type=int, default=0, help="of the fresh weights")
    parser.add_argument("--sets", nargs="+", default=["human-motion", "utd-mhad", "ut-interaction"])
    parser.add_argument("--only", nargs="+", default=["trained", "untrained", "energy"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained = load_pretrained(options.model)
    figures = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.sets:
        folder = options.data / name if name == "human-motion" else options.data / "real" / name
        rows = list(csv.DictReader((folder / "clips.csv").open()))
        paths = [folder / (row.get("file") or row["path"]) for row in rows]
        for kind in options.only:
            if kind == "energy":
                spaces = {"energy": np.stack([motion_energy(path) for path in paths])}
            else:
                model = trained if kind == "trained" else fresh_twin(trained, seed=derive_seed(options.seed, "control"))
                spaces = described(Embedder(model, num_clips=options.num_clips), paths)
            for space, vectors in spaces.items():
                figures[f"{name} {kind} {space}"] = scores(
                    vectors, rows, "mean" if space in HEADS else "mean_std_change"
                )
                print(name, kind, space, figures[f"{name} {kind} {space}"], flush=True)
            if kind != "energy":
                joined = f"{name} {kind} search by both, alpha {options.alpha:g}"
                motion, look = (spaces[space] for space in SEARCHED)
                figures[joined] = searched_by_both(motion, look, rows, options.alpha)
                print(joined, figures[joined], flush=True)
            options.out.write_text(json.dumps(figures, indent=1))


def described(embedder: Embedder, paths: list[Path]) -> dict[str, Vectors]:
    """Descriptors of all videos in each space of the network: [N, D]."""
    backbone = embedder.model.backbone
    streams = {f"{name} stream{'s' * (name == 'both')}": name for name in get_args(Stream)}
    older = {f"motion stream, {kind}": kind for kind in ("mean", "mean_std")}
    spaces: dict[str, list[Vectors]] = {name: [] for name in (*streams, *older, *HEADS, *SEARCHED)}
    for found in embedder.stream([VideoRecord(path, path.name) for path in paths]):
        assert isinstance(found, VideoFeatures), found
        for name, stream in streams.items():
            own = found.features[:, stream_channels(backbone, stream, early=True)]
            spaces[name].append(describe(own, "mean_std_change"))
        for name, kind in older.items():
            spaces[name].append(describe(found.features[:, backbone.motion_channels], kind))
        searched = embedder.search_vectors(found.clip_vectors, len(found.features))
        for name, kind in zip(SEARCHED, ("features", "appearance"), strict=True):
            spaces[name].append(searched[kind][0])
        for head in HEADS:
            spaces[head].append(describe(getattr(found, head.split()[0]), "mean"))
    return {name: np.stack(vectors) for name, vectors in spaces.items()}


def scores(vectors: Vectors, rows: Rows, descriptor: Descriptor) -> dict[str, float]:
    """Shares of right answers in %, over all test videos of all folds."""
    found: dict[str, float] = {}
    for name, classes in labels_of(rows).items():
        answers = [
            ridge_and_nearest(vectors[train], classes[train], vectors[test], classes[test], descriptor=descriptor)
            for train, test in folds(rows, name)
        ]
        linear, near = (np.concatenate(part) for part in zip(*answers, strict=True))
        found |= {f"{name}, linear": 100 * float(linear.mean()), f"{name}, R@1": 100 * float(near.mean())}
    return {name: round(value, 1) for name, value in found.items()}


def searched_by_both(motion: Vectors, look: Vectors, rows: Rows, alpha: float) -> dict[str, float]:
    """R@1 in % by the score of rspnet search: alpha cosines of motion, 1 - alpha of look, both whitened."""
    found: dict[str, float] = {}
    for name, classes in labels_of(rows).items():
        hits = []
        for train, test in folds(rows, name):
            (motions, asked_motions), (looks, asked_looks) = (whitened(own[train], own[test]) for own in (motion, look))
            cosines = joined(asked_motions, asked_looks, alpha=alpha) @ joined(motions, looks).T
            hits.append(classes[train][cosines.argmax(axis=1)] == classes[test])
        found[f"{name}, R@1"] = round(100 * float(np.concatenate(hits).mean()), 1)
    return found


def labels_of(rows: Rows) -> dict[str, NDArray[np.str_]]:
    """What is asked of a set's videos: [N] classes by name."""
    if "group" in rows[0]:
        return {"action": np.array([row["label"] for row in rows])}
    return {
        "action": np.array([row["class"] for row in rows]),
        "action and character": np.array([row["class"] + row["character"] for row in rows]),
        "character": np.array([row["character"] for row in rows]),
    }


def folds(rows: Rows, label: str) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """(training, test) masks; test videos of characters that training never shows have no label of a character."""
    if "group" in rows[0]:
        groups = np.array([row["group"] for row in rows])
        yield from ((groups != group, groups == group) for group in np.unique(groups))
        return
    train = np.array([row["split"] == "train" for row in rows])
    known = np.array(["character" not in label or row["held_out_character"] == "0" for row in rows])
    yield train, ~train & known


if __name__ == "__main__":
    main()
