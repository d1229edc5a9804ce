"""How much of the speed is there to see before any training: what an untrained network's features say of it.

    python benchmarks/speed_signal.py --data HUMAN_MOTION --out WORK --evidence docs/evidence

For every setting, on the validation videos of `small_scale.py` (three untrained networks each):
energy   RSP accuracy of the mean absolute frame difference alone
rsp      RSP accuracy of the untrained motion head
linear   how well a linear classifier on the untrained backbone tells speed 1 from speed 2 (folds by video)
ratio    distance between two speeds of one window / distance between two windows at one speed, on backbone features
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_scale import BATCH, NUM_FRAMES, SIZE, batches, human_motion
from small_scale_variants import BASE, StudyNet
from torch import Tensor

from rspnet.core.files import write_text
from rspnet.data.augment import IDENTITY, JITTER_SIZE
from rspnet.data.batches import make_views

SEEDS = (0, 1, 2)
ROUNDS = 15
DATA, TABLE = "speed-signal.json", "speed-signal.md"


@dataclass(frozen=True)
class Setting:
    """What the network sees."""

    name: str
    input: str = "difference"
    slow: int = 1
    colours: bool = True
    noise_std: float = 0.0
    standardised: bool = False
    """Every clip divided by the standard deviation of its own values, so that contrast does not count."""


SETTINGS = (
    Setting("RGB", input="rgb"),
    Setting("differences"),
    Setting("differences, no colour jitter", colours=False),
    Setting("differences of standardised clips", standardised=True),
    Setting("differences, noise 0.02", noise_std=0.02),
    Setting("differences, noise 0.06", noise_std=0.06),
    Setting("differences, speeds 2 and 4", slow=2),
)


def read(setting: Setting, data: Path, work: Path) -> tuple[list[tuple[Tensor, Tensor, Tensor]], np.ndarray]:
    """Views of every batch and the video of every sample."""
    source, views, videos = human_motion(data), [], []
    for batch in batches(source, work / "cache", replace(BASE, slow=setting.slow), split="val", seed=99, steps=ROUNDS):
        if not setting.colours:
            for jitter in (batch.query_jitter, batch.key_jitter):
                jitter.copy_(torch.tensor(IDENTITY).expand(len(jitter), JITTER_SIZE))
        first, second, third = make_views(batch, noise_std=setting.noise_std)
        if setting.standardised:
            first, second, third = (v / v.std(dim=(1, 2, 3, 4), keepdim=True) for v in (first, second, third))
        views.append((first, second, third))
        videos.append(batch.index.numpy())
    return views, np.concatenate(videos)


def is_fast(steps: int) -> np.ndarray:
    """Whether each query plays at the faster speed, as the sampler drew it."""
    from rspnet.data.sampler import PairSampler

    sampler = PairSampler(240, batch_size=BATCH, seed=99, speeds=[2], total_steps=steps)
    return np.array([request.speed == 2 for requests in sampler for request in requests])


@torch.no_grad()
def measure(setting: Setting, data: Path, work: Path) -> dict[str, list[float] | float]:
    """All figures of a setting."""
    views, videos = read(setting, data, work)
    energy = [torch.stack([(v[:, :, 1:] - v[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4)).log() for v in t]) for t in views]
    query, same, other = torch.cat(energy, dim=1)
    found: dict[str, list[float] | float] = {
        "energy": float(((query - same).abs() < (query - other).abs()).double().mean())
    }
    fast = is_fast(len(views))
    rows: dict[str, list[float]] = {"rsp": [], "linear": [], "ratio": []}
    for seed in SEEDS:
        torch.manual_seed(seed)
        variant = BASE if setting.input == "difference" else type(BASE)("rgb", input=setting.input)
        model = StudyNet(variant, queue_size=8, num_frames=NUM_FRAMES, size=SIZE)
        model = model.to(memory_format=torch.channels_last_3d).train()  # batch statistics: running ones are not set yet
        hits, pooled = [], []
        for triple in views:
            with torch.autocast("cpu", torch.bfloat16):
                maps = [model.backbone.forward_features(view) for view in triple]
                motion = [model.encoder_q.embed_features(part).motion for part in maps]
            hits.append((motion[0] * (motion[1] - motion[2])).sum(dim=1) > 0)
            pooled.append(torch.stack([part.float().mean(dim=(2, 3, 4)) for part in maps]))
        features = torch.cat(pooled, dim=1)
        x = np.concatenate([features[0].numpy(), features[2].numpy()])
        y, groups = np.concatenate([fast, ~fast]), np.concatenate([videos, videos])
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        rows["linear"].append(float(cross_val_score(classifier, x, y, groups=groups, cv=GroupKFold(4)).mean()))
        rows["rsp"].append(float(torch.cat(hits).double().mean()))
        apart = (features[1] - features[2]).norm(dim=1).mean() / (features[0] - features[1]).norm(dim=1).mean()
        rows["ratio"].append(float(apart))
    return found | rows


def table(rows: dict[str, dict[str, list[float] | float]]) -> str:
    """The generated Markdown."""
    lines = ["<!-- generated by benchmarks/speed_signal.py: do not edit -->", ""]
    lines += ["| setting | energy | rsp | linear | ratio |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        cells = [f"{row['energy']:.2f}"]
        for score in ("rsp", "linear", "ratio"):
            values = row[score]
            cells.append(f"{np.mean(values):.2f} ({np.min(values):.2f} to {np.max(values):.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/human-motion")
    parser.add_argument("--out", required=True)
    parser.add_argument("--evidence", default="docs/evidence")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(arguments.evidence) / DATA
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for setting in SETTINGS:
        if setting.name not in known and (not arguments.only or setting.name in arguments.only):
            known[setting.name] = measure(setting, Path(arguments.data), Path(arguments.out))
            print(setting.name, known[setting.name], flush=True)
            write_text(path, json.dumps(known, indent=1) + "\n")
    ordered = {setting.name: known[setting.name] for setting in SETTINGS if setting.name in known}
    write_text(Path(arguments.evidence) / TABLE, table(ordered))
