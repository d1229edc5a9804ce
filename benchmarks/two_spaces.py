"""Figures of docs/rspnet-small.md: do the two spaces of `rspnet search` find different things?

    python benchmarks/two_spaces.py --data SHARED/data --out figures.json [--sets acts]

The training videos of a set become a library by `rspnet index`, as it stands; every test video searches it, and its
first hit at alpha 1 (motion) and at alpha 0 (look) counts. The same with fresh weights. Sets: `acts`, drawn people of 8
acts, 6 outfits and 6 places (rspnet.data.synthetic.acts, seed 1; never trained on), and human-motion, whose test videos
of characters that training never shows have no label of a character.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rspnet import Library
from rspnet.cli import main as rspnet
from rspnet.core.errors import RSPNetError
from rspnet.core.rng import derive_seed
from rspnet.data.synthetic.acts import plan_acts, read_acts, write_acts
from rspnet.engine.checkpoint import save_checkpoint
from rspnet.pretext.create import fresh_twin
from rspnet.pretext.pretrained import load_pretrained
from rspnet.search.query import search

ALPHAS = {"motion": 1.0, "look": 0.0}


@dataclass(frozen=True)
class Video:
    """A file, its split, and its labels; an empty label is not asked for."""

    path: Path
    split: str
    labels: Mapping[str, str]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with human-motion")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--model", default="rspnet-small")
    parser.add_argument("--sets", nargs="+", default=["acts", "human-motion"])
    parser.add_argument("--num_acts", type=int, default=400, help="drawn videos, a quarter of them asked")
    parser.add_argument("--only", nargs="+", default=["trained", "fresh"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = json.loads(options.out.read_text()) if options.out.exists() else {}
    with tempfile.TemporaryDirectory(prefix="rspnet-two-spaces-") as name:
        folder = Path(name)
        fresh = fresh_twin(load_pretrained(options.model), seed=derive_seed(0, "control"))
        save_checkpoint(folder / "fresh.ckpt", {"model": fresh.state_dict(), "model_config": fresh.config})
        models = {"trained": options.model, "fresh": str(folder / "fresh.ckpt")}
        for kind in options.sets:
            videos = (
                drawn(folder / "acts", options.num_acts)
                if kind == "acts"
                else human_motion(options.data / "human-motion")
            )
            for model in options.only:
                figures[f"{kind} {model}"] = found = first_hits(videos, models[model], folder / f"{kind}-{model}")
                print(kind, model, found, flush=True)
                options.out.write_text(json.dumps(figures, indent=1) + "\n")


def drawn(folder: Path, count: int) -> list[Video]:
    """The drawn acts."""
    write_acts(folder, plan_acts(num_videos=count, seed=1))
    names = ("act", "outfit", "place")
    return [
        Video(record.path, record.clip.split, {name: getattr(record.clip, name) for name in names})
        for record in read_acts(folder)
    ]


def human_motion(folder: Path) -> list[Video]:
    """The videos of human-motion."""
    return [
        Video(
            folder / row["file"],
            row["split"],
            {"action": row["class"], "character": "" if row["held_out_character"] == "1" else row["character"]},
        )
        for row in csv.DictReader((folder / "clips.csv").open())
    ]


def first_hits(videos: Sequence[Video], model: str, folder: Path) -> dict[str, dict[str, float]]:
    """By label: % of the test videos whose first hit by motion and by look shares it, and what chance would give."""
    gallery = {
        str(folder / "videos" / f"{k:05d}{video.path.suffix}"): video
        for k, video in enumerate(videos)
        if video.split == "train"
    }
    (folder / "videos").mkdir(parents=True)
    for link, video in gallery.items():
        Path(link).symlink_to(video.path.resolve())
    command = ["index", str(folder / "videos"), "--out", str(folder / "library"), "--weights", model, "--num_workers=0"]
    if rspnet(command) != 0:
        raise RSPNetError("rspnet index failed")
    library = Library(str(folder / "library"))
    asked = [video for video in videos if video.split == "test"]
    hits: dict[str, list[Video]] = {name: [] for name in ALPHAS}
    for video in asked:
        query = library.embed(video.path)
        for name, alpha in ALPHAS.items():
            (hit,) = search(library.store, query, alpha=alpha, k=1)
            hits[name].append(gallery[hit.path])
    found = {}
    for label in asked[0].labels:
        known = [k for k, video in enumerate(asked) if video.labels[label]]
        right = {name: [hits[name][k].labels[label] == asked[k].labels[label] for k in known] for name in ALPHAS}
        counts = Counter(video.labels[label] for video in gallery.values())
        chance = np.mean([counts[asked[k].labels[label]] / len(gallery) for k in known])
        shares = {name: round(100 * float(np.mean(answers)), 1) for name, answers in right.items()}
        found[label] = shares | {"chance": round(100 * float(chance), 1), "queries": len(known)}
    return found


if __name__ == "__main__":
    main()
