"""Peak memory of retrieval metrics (10,000 queries in 100,000 vectors) and of indexing 1,000 videos.

python benchmarks/memory_of_search.py retrieval
python benchmarks/memory_of_search.py index

Each prints one line of JSON. `index` makes a checkpoint with random weights and 1,000 short videos (50 different ones,
each copied 20 times) in a temporary folder, and notes the resident memory after every tenth of the videos.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

DIFFERENT, COPIES, TENTHS = 50, 20, 10


def main() -> None:
    """Run what the command line names."""
    print(json.dumps({"retrieval": retrieval, "index": index}[sys.argv[1]]()))


def retrieval(queries: int = 10_000, gallery: int = 100_000, dim: int = 128, classes: int = 100) -> dict[str, Any]:
    """recall@k and mAP of made-up features."""
    from rspnet.features.neighbours import average_precisions, hits_at_k

    generator = torch.Generator().manual_seed(0)
    query, stored = (torch.randn(count, dim, generator=generator) for count in (queries, gallery))
    wanted, offered = (torch.randint(classes, (count,), generator=generator) for count in (queries, gallery))
    before = peak_mib()
    started = perf_counter()
    hits = hits_at_k(query, stored, wanted, offered, [1, 5, 10, 20, 50])
    found = perf_counter()
    after_hits = peak_mib()
    precisions = average_precisions(query, stored, wanted, offered)
    return {
        "queries": queries,
        "gallery": gallery,
        "full_matrix_mib": queries * gallery * 4 / 2**20,
        "recall_at_k_extra_mib": after_hits - before,
        "recall_at_k_s": found - started,
        "mAP_extra_mib": peak_mib() - before,
        "mAP_s": perf_counter() - found,
        "recall@1": float(hits[1].double().mean()),
        "mAP": float(precisions.nanmean()),
    }


def index() -> dict[str, Any]:
    """Resident memory while a library of 1,000 videos is made."""
    from rspnet.core.files import sha256_of
    from rspnet.data.annotations import read_folder
    from rspnet.data.synthetic.procedural import plan_clips, write_set
    from rspnet.features.embedder import Embedder
    from rspnet.features.windows import ClipSettings
    from rspnet.lab.bench.bench_search import random_checkpoint
    from rspnet.search.index import update
    from rspnet.search.library_store import Store
    from rspnet.search.library_tables import About

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as name:
        folder = Path(name)
        write_set(folder / "made", plan_clips(num_videos=DIFFERENT, seed=0), workers=1)
        made = read_folder(folder / "made")
        (folder / "videos").mkdir()
        for copy in range(COPIES):
            for number, record in enumerate(made):
                target = folder / "videos" / f"{copy:02d}-{number:03d}{record.path.suffix}"
                shutil.copyfile(record.path, target)
        model = random_checkpoint(folder / "model.ckpt", "r3d_10_slim")
        embedder = Embedder(model)
        clip = ClipSettings(2.0, 1.0, 1, embedder.num_frames, 1, embedder.size)
        sizes = (model.config["feature_dim"], model.config["feature_dim"], model.backbone.num_features)
        about = About(str(folder / "model.ckpt"), sha256_of(folder / "model.ckpt"), embedder.precision, *sizes, clip)
        store = Store.open_or_create(str(folder / "library"), about)
        paths = [str(record.path) for record in read_folder(folder / "videos")]
        started, resident = perf_counter(), [resident_mib()]
        for tenth in range(1, TENTHS + 1):
            update(store, embedder, paths[: len(paths) * tenth // TENTHS], folder=folder / "videos")
            resident.append(resident_mib())
        seconds = perf_counter() - started
        return {
            "videos": len(paths),
            "clips": len(store),
            "resident_mib": resident,
            "peak_mib": peak_mib(),
            "s": seconds,
        }


def peak_mib() -> float:
    """Greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mib() -> float:
    """Resident memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
