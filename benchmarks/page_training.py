"""Seconds that training in the page takes (key T), from the labels to the judged library.

    python benchmarks/page_training.py LABELS VIDEOS

The library has VIDEOS drawn videos of 40 windows, with vectors of the length that rspnet-small makes; of every four
windows in a row one in four belongs to one of three classes. LABELS of these stretches' halves are labelled. Trains
twice and prints a line of JSON for the second time: CPU and wall seconds, and the share of all windows that are judged
right.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch

from rspnet.api.open_embedder import open_embedder
from rspnet.config.view import ViewConfig
from rspnet.core.files import sha256_of
from rspnet.core.rng import numpy_rng
from rspnet.features.spaces import unit_rows
from rspnet.features.windows import ClipSettings
from rspnet.pretext.opening import weights_file
from rspnet.search.label_log import LabelLog, part
from rspnet.search.library import Library
from rspnet.search.library_store import Store
from rspnet.search.library_tables import About, ClipRows, FileRow
from rspnet.search.ui.labelling import Labelling

MODEL, CLIPS, WINDOWS, STRETCH, CLASSES, LATENT = "rspnet-small", 3, 40, 4, 3, 24


def main() -> None:
    """Make a library and labels, train, and print what it took."""
    labels, videos = (int(word) for word in sys.argv[1:])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as name:
        folder = Path(name)
        truth = make_library(folder / "library", videos)
        stretches = [(path, at) for path in truth for at in range(0, WINDOWS, 2) if truth[path][at] < CLASSES]
        chosen = numpy_rng("page training", "labels").permutation(len(stretches))[:labels]
        marks = [
            part(path, f"class {truth[path][at]}", float(at), float(at + 2))
            for path, at in (stretches[n] for n in chosen)
        ]
        LabelLog(folder / "labels").change(marks)
        library = Library(str(folder / "library"))
        for _ in range(2):
            labelling = Labelling(library, {Path(path).name: path for path in truth}, folder / "labels")
            wall, cpu = perf_counter(), process_time()
            judged = labelling.train()
            wall, cpu = perf_counter() - wall, process_time() - cpu
        right = np.mean([(judged.videos[path].values.argmax(axis=1) == own).mean() for path, own in truth.items()])
    found = {"cpu_s": round(cpu, 2), "wall_s": round(wall, 2), "right": round(float(right), 3)}
    print(json.dumps({"labels": len(marks), "windows": videos * WINDOWS, **found}))


def make_library(folder: Path, videos: int) -> dict[str, np.ndarray]:
    """A library on disk; the class of every window by path, `CLASSES` where it is of none."""
    view = ViewConfig(num_workers=0, device="cpu", precision="fp32")
    embedder = open_embedder(MODEL, view, descriptor="mean_std_change", set_threads=False)
    clip = ClipSettings(2.0, 1.0, CLIPS, embedder.num_frames, embedder.stride, embedder.size)
    lengths = embedder.vector_lengths()
    store = Store.open_or_create(
        str(folder), About(MODEL, sha256_of(weights_file(MODEL)), "fp32", **lengths, clip=clip)
    )
    rng = numpy_rng("page training")
    basis = rng.standard_normal((LATENT, lengths["features"]))
    centres = rng.standard_normal((CLASSES + 1, LATENT))
    truth, files, clips = {}, [], []
    for number in range(videos):
        path, window = f"/videos/{number:05d}.mp4", np.arange(WINDOWS)
        kinds = rng.integers(0, CLASSES, WINDOWS // STRETCH)
        truth[path] = own = np.where(rng.random(len(kinds)) < 0.25, kinds, CLASSES).repeat(STRETCH)
        latent = centres[own] + 0.7 * rng.standard_normal(LATENT) + 0.8 * rng.standard_normal((WINDOWS, LATENT))
        features = latent @ basis + 2 * rng.standard_normal((WINDOWS, lengths["features"]))
        motion, appearance = (
            unit_rows(rng.standard_normal((WINDOWS, lengths[kind]))) for kind in ("motion", "appearance")
        )
        files.append(FileRow(path, str(number), 1, 1, WINDOWS + 1.0, WINDOWS, ""))
        start = window.astype(np.float64)
        vectors = motion, appearance, features.astype(np.float32)
        clips.append(ClipRows(path, str(number), 25.0, 64, 48, window, start, start + 2, *vectors))
    store.replace(files, clips)
    return truth


if __name__ == "__main__":
    main()
