"""Figures of docs/rspnet-small.md: does training the shipped weights further, without labels, help on real people?

    python benchmarks/adapted_on_sets.py --data SHARED/data --out figures.json [--sets utd-mhad] [--halves 0 1]

The groups of a set (a person, a sequence) are halved by name. The weights are adapted to the videos of one half by
`rspnet pretrain LIST --weights rspnet-small`, then judged on the videos of the other half as weights_on_sets.py
judges: every group is left out once, the classifier sees the other groups of that half only. Beside them, on the same
videos: the weights as shipped, fresh weights, and motion energy. Options after `--` go to `rspnet pretrain`; --run
FOLDER keeps the runs, and a run that ended is used again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from weights_on_sets import HEADS, SEARCHED, Rows, described, scores

from rspnet.cli import main as rspnet
from rspnet.core.rng import derive_seed
from rspnet.features.embedder import Embedder
from rspnet.lab.study.judged import motion_energy
from rspnet.pretext.create import fresh_twin
from rspnet.pretext.pretrained import load_pretrained

SHIPPED = "rspnet-small"
Figures = dict[str, dict[str, float]]


def main() -> None:
    """Adapt, judge and write."""
    ours, more = sys.argv[1:], []
    if "--" in ours:
        ours, more = ours[: ours.index("--")], ours[ours.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with real/")
    parser.add_argument("--learn", type=Path, help="the same folder after rspnet transcode: adapted to, not judged")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--run", default=Path("runs"), type=Path)
    parser.add_argument("--sets", nargs="+", default=["utd-mhad", "ut-interaction"])
    parser.add_argument("--halves", nargs="+", type=int, default=[0, 1], help="those that the weights are adapted to")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--only", nargs="+", default=["energy", "shipped", "fresh", "adapted"])
    parser.add_argument("--num_clips", type=int, default=10)
    parser.add_argument("--num_frames", nargs="+", type=int, default=[8, 16], help="of the clips that are judged")
    options = parser.parse_args(ours)
    torch.set_num_threads(1)
    figures: Figures = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.sets:
        for half in options.halves:
            learnt, _ = halves((options.learn or options.data) / "real" / name, half)
            _, judged = halves(options.data / "real" / name, half)
            if "energy" in options.only:
                vectors = np.stack([motion_energy(Path(row["path"])) for row in judged])
                figures[f"{name}, half {half}, energy"] = scores(vectors, judged, "mean_std")
            models = {"shipped": load_pretrained(SHIPPED)} if "shipped" in options.only else {}
            for seed in options.seeds:
                if "fresh" in options.only:
                    fresh = fresh_twin(load_pretrained(SHIPPED), seed=derive_seed(seed, "control"))
                    models[f"fresh, seed {seed}"] = fresh
                if "adapted" in options.only:
                    run = adapted(learnt, options.run / f"{name}-{half}-{seed}", seed, more)
                    models[f"adapted, seed {seed}"] = load_pretrained(run / "last.ckpt")
            for kind, model in models.items():
                for length in options.num_frames:
                    embedder = Embedder(model, num_clips=options.num_clips, num_frames=length)
                    figures |= judge(f"{name}, half {half}, {kind}, {length} frames", embedder, judged)
                    options.out.write_text(json.dumps(figures, indent=1))


def halves(folder: Path, half: int) -> tuple[list[Path], Rows]:
    """Videos to adapt to, and rows (with absolute paths) to judge on."""
    rows = list(csv.DictReader((folder / "clips.csv").open()))
    groups = sorted({row["group"] for row in rows})
    learnt = groups[: len(groups) // 2] if half == 0 else groups[len(groups) // 2 :]
    for row in rows:
        row["path"] = str((folder / (row.get("file") or row["path"])).resolve())
    chosen = [Path(row["path"]) for row in rows if row["group"] in learnt]
    return chosen, [row for row in rows if row["group"] not in learnt]


def adapted(videos: list[Path], run: Path, seed: int, more: list[str]) -> Path:
    """Folder of the run that adapts the shipped weights to the videos; made unless it is there and ended."""
    if not (run / "result.json").exists():
        run.mkdir(parents=True, exist_ok=True)
        chosen = run.with_suffix(".txt")
        chosen.write_text("".join(f"{path}\n" for path in videos))
        words = ["pretrain", str(chosen), "--weights", SHIPPED, "--out", str(run), "--seed", str(seed)]
        code = rspnet([*words, "--engine.threads", "1", *more])
        assert code == 0, f"rspnet pretrain ended with {code}"
    return run


def judge(key: str, embedder: Embedder, rows: Rows) -> Figures:
    """Shares of right answers in % in each space of the network."""
    spaces = described(embedder, [Path(row["path"]) for row in rows])
    found = {
        f"{key}, {space}": scores(vectors, rows, "mean" if space in HEADS + SEARCHED else "mean_std")
        for space, vectors in spaces.items()
    }
    print(key, found[f"{key}, motion stream"], flush=True)
    return found


if __name__ == "__main__":
    main()
