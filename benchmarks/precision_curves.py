"""Does bfloat16 change what is learned? The same pre-training in both precisions, three seeds, loss curves and a plot.

    python benchmarks/precision_curves.py --videos FOLDER --out runs/precision

All trainings see the same batches in lockstep; only initial weights (by seed) and precision differ. Writes curves.csv
and curves.png, and prints the mean loss of the last 50 steps of each training.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib
import numpy as np
import torch

from rspnet.data.annotations import read_folder
from rspnet.data.batches import make_views
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler
from rspnet.engine.optim import make_optimizer
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

matplotlib.use("Agg")
NUM_FRAMES, SIZE, BATCH, SMOOTH = 8, 48, 8, 20
LAST = 50


class Trial:
    """One training."""

    def __init__(self, seed: int, precision: str) -> None:
        self.seed, self.precision = seed, precision
        torch.manual_seed(seed)
        model = RSPNet("r3d_10_slim", input="difference", queue_size=256, num_frames=NUM_FRAMES, size=SIZE)
        self.model = model.to(memory_format=torch.channels_last_3d)
        parameters = self.model.encoder_q.parameters()
        self.optimizer = make_optimizer(parameters, name="adamw", lr=1e-3, weight_decay=1e-4)
        self.losses: list[float] = []

    def step(self, views: SpeedViews) -> None:
        """One step of METHOD section 2."""
        self.optimizer.zero_grad()
        outputs = self.model.group_outputs(views, step_seed=len(self.losses))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            output = next(outputs)
        output.loss.backward()
        self.model.finish_step()
        self.optimizer.step()
        self.losses.append(output.loss.item())


def main() -> None:
    """Train all, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = read_folder(options.videos)
    preset = augment_preset("published")
    dataset = ClipPairDataset(records, num_frames=NUM_FRAMES, speeds=(2,), size=SIZE, preset=preset, seed=0)
    sampler = PairSampler(len(records), batch_size=BATCH, seed=0, speeds=(2,), total_steps=options.steps)
    trials = [Trial(seed, precision) for seed in range(options.seeds) for precision in ("fp32", "bf16")]
    for batch in make_loader(dataset, sampler, num_workers=0):
        views = SpeedViews(*make_views(batch))
        for trial in trials:
            trial.step(views)
    options.out.mkdir(parents=True, exist_ok=True)
    write(trials, options.out)
    for precision in ("fp32", "bf16"):
        ends = [np.mean(trial.losses[-LAST:]) for trial in trials if trial.precision == precision]
        print(precision, "last", LAST, "steps, by seed:", " ".join(f"{end:.3f}" for end in ends))


def write(trials: list[Trial], folder: Path) -> None:
    """curves.csv (every loss) and curves.png (running means)."""
    import matplotlib.pyplot as plt

    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *(f"{trial.precision} seed {trial.seed}" for trial in trials)])
        writer.writerows(
            [step, *(f"{loss:.4f}" for loss in row)]
            for step, row in enumerate(zip(*(trial.losses for trial in trials), strict=True), start=1)
        )
    figure, axes = plt.subplots(figsize=(7, 4))
    for trial in trials:
        smooth = np.convolve(trial.losses, np.ones(SMOOTH) / SMOOTH, mode="valid")
        line = "-" if trial.precision == "fp32" else "--"
        label = f"{trial.precision}, seed {trial.seed}"
        axes.plot(np.arange(SMOOTH, len(trial.losses) + 1), smooth, line, color=f"C{trial.seed}", label=label)
    axes.set_xlabel("step")
    axes.set_ylabel(f"loss, mean of {SMOOTH} steps")
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "curves.png", dpi=100)


if __name__ == "__main__":
    main()
