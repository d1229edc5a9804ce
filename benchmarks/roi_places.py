"""Do the maps of `rspnet roi` (and of Why? on the page, of `report`) lie where two clips are alike?

    python benchmarks/roi_places.py --out figures.json [--pairs 100] [--random_init] [--device cuda]

Pairs of drawn scenes with a figure planted at known places (rspnet.data.synthetic.planted) are explained by the shipped
weights. Counted is how often the hottest place of a map (the middle of its best crop) lies in the figure's box: on the
figure that has a counterpart in the other clip, on the other one where there is one, and by chance (the box's share of
the places). For scenery alone: how even the hottest places are over a grid of 3 x 3 (chi-squared, 8 degrees of freedom:
15.5 is the limit of 5 %).
The paper's maps of the last feature map are measured beside them, at the size of training and at four times that.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F

from rspnet.data.augment import normalise
from rspnet.data.synthetic.planted import PlantedClip, Shared, planted_pair
from rspnet.features.roi_maps import CROP, crop_centres, crop_maps, crop_vectors, roi_maps
from rspnet.pretext.create import fresh_twin
from rspnet.pretext.pretrained import load_pretrained

SEED = 0
STRIDE = 2
KINDS = ("motion", "appearance")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--pairs", type=int, default=100, help="of each kind; twice as many maps")
    parser.add_argument("--model", default="rspnet-small")
    parser.add_argument("--random_init", action="store_true", help="the control: the same network with fresh weights")
    parser.add_argument(
        "--only", nargs="*", default=[], help="kinds of pairs, such as 'act and outfit'; all by default"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_pretrained(options.model)
    model = (fresh_twin(model, seed=SEED) if options.random_init else model).eval().to(options.device)
    size = CROP * model.config["size"]
    figures: dict[str, Any] = {"pairs": options.pairs, "seed": SEED, "model": options.model}
    figures["random_init"] = options.random_init
    with ProcessPoolExecutor(options.workers) as pool:
        for shared in options.only or get_args(Shared):
            for another in (False, True) if shared not in ("nothing", "no figure") else (False,):
                draw = partial(planted_pair, shared=shared, another=another, seed=SEED, size=size)
                pairs = list(pool.map(draw, range(options.pairs), chunksize=4))
                name = shared + (", another figure" if another else "")
                figures[name] = measured(model, pairs)
                print(name, json.dumps(figures[name]), flush=True)
                options.out.write_text(json.dumps(figures, indent=1) + "\n")


def measured(model: Any, pairs: list[tuple[PlantedClip, PlantedClip]]) -> dict[str, Any]:
    """The shares of a set of pairs, by kind of map."""
    hottest: dict[str, list[tuple[float, float]]] = {}
    for pair in pairs:
        for name, places in maps_of(model, pair).items():
            hottest.setdefault(name, []).extend(places)
    clips = [clip for pair in pairs for clip in pair]
    return {name: shares(places, clips) for name, places in hottest.items()} | {"chance": chance(clips)}


@torch.no_grad()
def maps_of(model: Any, pair: tuple[PlantedClip, PlantedClip]) -> Mapping[str, list[tuple[float, float]]]:
    """The hottest places of both clips of a pair, (y, x) in sides of the picture, by kind of map."""
    encoder, size = model.encoder_q, model.config["size"]
    device = next(model.parameters()).device
    details = [torch.from_numpy(clip.frames[::STRIDE]).to(device) for clip in pair]
    crops = [crop_vectors(encoder, detail) for detail in details]
    centres = crop_centres()
    found: dict[str, list[tuple[float, float]]] = {}
    for kind in KINDS:
        one, two = (getattr(part, kind) for part in crops)
        for own, other in ((one, two), (two, one)):
            y, x = centres[int(crop_maps(own, other).argmax())]
            found.setdefault(kind, []).append((float(y), float(x)))
    for times in (1, CROP):
        maps = [encoder.backbone.forward_features(normalise(resized(detail, times * size))) for detail in details]
        for kind in KINDS:
            channels = getattr(encoder.backbone, f"{kind}_channels")
            for own, other in (maps, maps[::-1]):
                heat = roi_maps(getattr(encoder, f"{kind}_head"), own[:, channels], other[:, channels])[0].mean(dim=0)
                row, column = divmod(int(heat.argmax()), heat.shape[1])
                place = (row + 0.5) / heat.shape[0], (column + 0.5) / heat.shape[1]
                found.setdefault(f"{kind}, last map at {times * size} pixels", []).append(place)
    return found


def resized(detail: torch.Tensor, side: int) -> torch.Tensor:
    """A batch of one clip, uint8 [1, T, side, side, 3]."""
    pixels = F.interpolate(detail.permute(0, 3, 1, 2).float(), size=(side, side), mode="area")
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1)[None]


def shares(places: list[tuple[float, float]], clips: list[PlantedClip]) -> dict[str, Any]:
    """How often the places lie in the boxes, in %, and how even they are."""
    inside: dict[str, list[bool]] = {}
    cells = np.zeros(9)
    for (y, x), clip in zip(places, clips, strict=True):
        cells[3 * min(int(3 * y), 2) + min(int(3 * x), 2)] += 1
        for name, box in zip(("figure", "another"), clip.boxes, strict=False):
            inside.setdefault(name, []).append(bool(box[int(y * len(box)), int(x * len(box))]))
    even = len(places) / 9
    found: dict[str, Any] = {name: round(100 * float(np.mean(hits)), 1) for name, hits in inside.items()}
    return found | {"most in a ninth": round(100 * float(cells.max()) / len(places), 1),
                    "chi-squared": round(float(((cells - even) ** 2 / even).sum()), 1)}  # fmt: skip


def chance(clips: list[PlantedClip]) -> float | None:
    """The share of the places of crops that lie in the first figure's box, in %."""
    if not len(clips[0].boxes):
        return None
    centres = crop_centres()
    inside = [
        [bool(clip.boxes[0][int(y * clip.boxes.shape[1]), int(x * clip.boxes.shape[2])]) for y, x in centres]
        for clip in clips
    ]
    return round(100 * float(np.mean(inside)), 1)


if __name__ == "__main__":
    main()
