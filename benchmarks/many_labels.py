"""CPU seconds and peak memory of the fits of `rspnet probe` and `rspnet classify fit` with many labels.

    python benchmarks/many_labels.py probe [--vectors 100000] [--numbers 512] [--classes 400]

The vectors are drawn: a mean for each class, noise of their own and noise that their numbers share.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

from rspnet.features.event_labels import Label
from rspnet.features.linear_probe import fit_linear
from rspnet.features.window_fit import LabelledVideo, fit_windows

SPREAD_OF_MEANS, SHARED_NOISE = 0.18, 0.5


def main() -> None:
    """Draw, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["probe", "classify"])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--numbers", type=int, default=512)
    parser.add_argument("--classes", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, labels = drawn(options.vectors, options.numbers, options.classes)
    started = time.process_time()
    if options.what == "probe":
        trained = len(x) * 4 // 5
        fit = fit_linear(x[:trained], labels[:trained], x[trained:], num_classes=options.classes, folds=5, seed=0)
        chosen, right = f"{fit.classifier} {fit.strength:g}", (fit.scores.argmax(axis=1) == labels[trained:]).mean()
    else:
        fitted = fit_windows([one_window(n, x, labels) for n in range(len(x))], background=False, folds=5, seed=0)
        chosen, right = f"C {fitted.strength:g}", (fitted.held_out.argmax(axis=1) == labels).mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{options.what}: {time.process_time() - started:.0f} CPU s, {peak:.1f} GiB, {chosen}, {right:.1%} right")


def drawn(vectors: int, numbers: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [n, D] and their classes [n]."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(classes, numbers)).astype(np.float32) * SPREAD_OF_MEANS
    labels = rng.integers(0, classes, vectors)
    shared = rng.normal(size=(numbers, numbers)).astype(np.float32) / np.sqrt(numbers, dtype=np.float32)
    own, common = (rng.normal(size=(vectors, numbers)).astype(np.float32) for _ in range(2))
    return means[labels] + own + SHARED_NOISE * common @ shared, labels


def one_window(number: int, x: np.ndarray, labels: np.ndarray) -> LabelledVideo:
    """A video of one window, labelled as a whole."""
    name = f"{number}.mp4"
    label = Label(name, f"{labels[number]:03d}")
    return LabelledVideo(name, np.array([0.0]), np.array([2.0]), x[number : number + 1], [label])


if __name__ == "__main__":
    main()
