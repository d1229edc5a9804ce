"""Time and recall of a large library (docs/benchmarks.md): 200,000 clip vectors by default."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.core.files import sha256_of
from rspnet.core.rng import numpy_rng
from rspnet.data.synthetic.procedural import plan_clips, write_clip
from rspnet.engine.checkpoint import save_checkpoint
from rspnet.engine.runtime import pick_precision
from rspnet.features.windows import ClipSettings
from rspnet.pretext.rspnet import RSPNet
from rspnet.search.library import Library
from rspnet.search.library_store import Store
from rspnet.search.library_tables import About, ClipRows, FileRow, joined
from rspnet.search.query import Query, search

DIM, WINDOWS, LATENT, NEIGHBOURS = 128, 40, 24, 10
CLIENTS, FOLDERS = 8, (100, 2000)
"""Threads that ask at the same time, and how many videos are in the folders that they ask within."""
_VIDEOS_AT_ONCE = 500
_ADDED_VIDEOS = 1000
_BACKBONE, _CLIP = "r3d_18", ClipSettings(2.0, 1.0, 1, 16, 1, 112)


def bench_search(
    *, num_clips: int = 200_000, queries: int = 100, added_videos: int = _ADDED_VIDEOS, backbone: str = _BACKBONE
) -> dict[str, Any]:
    """Fill a library with made-up vectors, search it by appearance, both and motion, and compare with exact search.

    The vectors are unit vectors of low intrinsic dimension (24 of 128, with noise) that vary around a centre a video;
    motion and appearance are independent, which is the hardest case for one index of both. A query is a clip of the
    library with noise. Then eight clients ask at the same time, in the whole library and in one folder. At last a real
    query, two seconds of 320 x 320 video, goes through the network (random weights) to its hits, and more videos are
    added.

    Returns:
        {"rows": [{"alpha", "recall_at_10", "p50_ms", "p99_ms", "cpu_ms", "located_p50_ms"}], ...}: `p50_ms` is of the
        ten nearest clips, `cpu_ms` what they cost all threads in the mean, `located_p50_ms` of ten aligned hits; then
        ms on the clock of ten aligned hits for one of the clients, and CPU ms; seconds to fill, index and open the
        library, from a query's file to its hits (first and median), to add videos, and how many of the library's old
        data files that rewrote.
    """
    rng = numpy_rng("bench search")
    videos = num_clips // WINDOWS
    motion, appearance = (_vectors(rng, videos) for _ in range(2))
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as folder:
        about = _about(Path(folder), backbone)
        started = perf_counter()
        store = Store.open_or_create(f"{folder}/library", about)
        for first in range(0, videos, _VIDEOS_AT_ONCE):
            _add(store, [_rows(n, motion, appearance) for n in range(first, min(first + _VIDEOS_AT_ONCE, videos))])
        filled = perf_counter()
        store.tidy()
        indexed = perf_counter()
        store = Store(store.uri)
        opened = perf_counter()
        chosen = rng.choice(len(motion), queries, replace=False)
        asked = [_unit(part[chosen] + 0.02 * rng.standard_normal((queries, DIM))) for part in (motion, appearance)]
        rows_of_table = [_row(store, asked, (motion, appearance), alpha=alpha) for alpha in (0.0, 0.5, 1.0)]
        clients = _clients(store, asked, videos)
        real = _real_query(Path(folder), store)
        added = _adding(store, [_rows(n, motion, appearance, name="added") for n in range(min(added_videos, videos))])
    return {
        "rows": rows_of_table,
        "clips": len(motion),
        "open_s": opened - indexed,
        "fill_s": filled - started,
        "build_index_s": indexed - filled,
        **clients,
        **real,
        **added,
    }


def _about(folder: Path, backbone: str) -> About:
    """A library made by a network with random weights, whose checkpoint is written to `folder`."""
    path = folder / "model.ckpt"
    random_checkpoint(path, backbone)
    precision = pick_precision("auto", torch.device("cpu"))
    return About(str(path), sha256_of(path), precision, DIM, DIM, 1, _CLIP)  # the made-up clips have one feature each


def random_checkpoint(path: Path, backbone: str) -> RSPNet:
    """Write a checkpoint of a network with seeded random weights, and return the network."""
    torch.manual_seed(0)
    model = RSPNet(backbone, queue_size=1, feature_dim=DIM, num_frames=_CLIP.num_frames, size=_CLIP.size)
    save_checkpoint(path, {"model": model.state_dict(), "model_config": model.config})
    return model.eval()


def _real_query(folder: Path, store: Store, repeats: int = 5) -> dict[str, float]:
    """Seconds from a video file to ten ranked hits in an open library: decode, encode, search."""
    (clip,) = plan_clips(num_videos=1, seed=0, num_frames=50, size=320, test_fraction=0.0)
    write_clip(folder / "query.mp4", clip)
    library = Library(store.uri, device="cpu")
    seconds = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(repeats):
        started = perf_counter()
        library.search(folder / "query.mp4", alpha=0.5, k=NEIGHBOURS)
        seconds.append(perf_counter() - started)
    torch.set_num_threads(threads)
    return {"file_to_hits_first_s": seconds[0], "file_to_hits_s": statistics.median(seconds[1:])}


def _adding(store: Store, rows: list[ClipRows]) -> dict[str, float]:
    """Seconds to add videos (with the upkeep that ends an indexing), and how many old data files changed by it."""
    before = _data_files(store)
    started = perf_counter()
    _add(store, rows)
    written = perf_counter()
    after = _data_files(store)
    store.tidy()
    return {
        "added_videos": len(rows),
        "add_s": written - started,
        "update_index_s": perf_counter() - written,
        "old_data_files": len(before),
        "old_data_files_rewritten": sum(after.get(path) != state for path, state in before.items()),
    }


def _data_files(store: Store) -> dict[Path, tuple[int, int]]:
    """Size and time of change of every file with clips."""
    paths = (Path(store.uri) / "clips.lance" / "data").rglob("*.lance")
    return {path: ((status := path.stat()).st_size, status.st_mtime_ns) for path in paths}


def _add(store: Store, rows: list[ClipRows]) -> None:
    store.replace([FileRow(row.path, row.content, 1, 1, 41.0, WINDOWS, "") for row in rows], rows)


def _row(
    store: Store,
    asked: list[NDArray[np.float32]],
    library: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    alpha: float,
) -> dict[str, Any]:
    vectors = joined(*asked, alpha=alpha)
    for vector in vectors[:3]:  # the first searches fill caches
        store.nearest(vector, limit=NEIGHBOURS)
    recalls, seconds, located, cpu = [], [], [], 0.0
    for number, vector in enumerate(vectors):
        started, used = perf_counter(), process_time()
        found = store.nearest(vector, limit=NEIGHBOURS)
        seconds.append(perf_counter() - started)
        cpu += process_time() - used
        exact = library[0] @ vector[:DIM] + library[1] @ vector[DIM:]
        tenth = np.partition(exact, -NEIGHBOURS)[-NEIGHBOURS]
        recalls.append(sum(score >= tenth - 1e-5 for _, score in found) / NEIGHBOURS)
        if number % 10 == 0:
            window = slice(number, number + 1)
            query = Query(np.zeros(1), np.full(1, 2.0), asked[0][window], asked[1][window])
            started = perf_counter()
            search(store, query, alpha=alpha, k=NEIGHBOURS)
            located.append(perf_counter() - started)
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    return {
        "alpha": alpha,
        "recall_at_10": float(np.mean(recalls)),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "cpu_ms": cpu / len(vectors) * 1000,
        "located_p50_ms": statistics.median(located) * 1000,
    }


def _clients(store: Store, asked: list[NDArray[np.float32]], videos: int) -> dict[str, float]:
    """Milliseconds from a query to ten hits with places for one of several clients, in all videos or in a folder."""
    motion, appearance = asked
    queries = [
        Query(np.zeros(1), np.full(1, 2.0), motion[n : n + 1], appearance[n : n + 1]) for n in range(len(motion))
    ]
    places: dict[str, Collection[str] | None] = {"": None}
    for size in FOLDERS:
        places[f"folder_of_{size}_"] = [_path(number) for number in range(min(size, videos))]
    found: dict[str, float] = {}
    for name, within in places.items():

        def wait(query: Query, within: Collection[str] | None = within) -> float:
            started = perf_counter()
            search(store, query, alpha=0.5, k=NEIGHBOURS, within=within)
            return perf_counter() - started

        wait(queries[0])
        used = process_time()
        with ThreadPoolExecutor(CLIENTS) as pool:
            p50, p99 = np.quantile(list(pool.map(wait, queries)), [0.5, 0.99]) * 1000
        cpu = (process_time() - used) / len(queries) * 1000
        found |= {
            f"clients_{name}p50_ms": float(p50),
            f"clients_{name}p99_ms": float(p99),
            f"clients_{name}cpu_ms": cpu,
        }
    return found


def _vectors(rng: np.random.Generator, videos: int) -> NDArray[np.float32]:
    basis = rng.standard_normal((LATENT, DIM))
    found = np.empty((videos * WINDOWS, DIM), np.float32)
    for part in np.split(found, range(WINDOWS * _VIDEOS_AT_ONCE, len(found), WINDOWS * _VIDEOS_AT_ONCE)):
        own = rng.standard_normal((len(part) // WINDOWS, LATENT)).repeat(WINDOWS, axis=0)
        latent = own + 0.5 * rng.standard_normal((len(part), LATENT))
        part[:] = _unit(latent @ basis + 0.3 * LATENT**0.5 * rng.standard_normal((len(part), DIM)))
    return found


def _path(number: int, name: str = "videos") -> str:
    """Of a video, in a folder of `FOLDERS[0]` in one of `FOLDERS[1]`."""
    small, large = (number // size for size in FOLDERS)
    return f"/{name}/{large:03d}/{small:05d}/{number:06d}.mp4"


def _unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _rows(
    number: int, motion: NDArray[np.float32], appearance: NDArray[np.float32], *, name: str = "videos"
) -> ClipRows:
    own = slice(number * WINDOWS, (number + 1) * WINDOWS)
    window = np.arange(WINDOWS, dtype=np.int64)
    return ClipRows(
        path=_path(number, name),
        content=f"{name}-{number}",
        fps=25.0,
        width=320,
        height=240,
        window=window,
        start_s=window.astype(np.float64),
        end_s=np.asarray(window + 2.0, np.float64),
        motion=motion[own],
        appearance=appearance[own],
        features=np.zeros((WINDOWS, 1), np.float32),
    )
