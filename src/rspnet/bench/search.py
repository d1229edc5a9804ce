"""Time and recall of a large library (TARGETS.md, "Search"): 200,000 clip vectors by default."""

from __future__ import annotations

import statistics
import tempfile
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng
from rspnet.search.query import Query, search
from rspnet.search.store import About, ClipRows, FileRow, Store, joined
from rspnet.search.windows import ClipSettings

DIM, WINDOWS, LATENT, NEIGHBOURS = 128, 40, 24, 10
_VIDEOS_AT_ONCE = 500
_ABOUT = About("bench", "bench", "fp32", DIM, 1, ClipSettings(2.0, 1.0, 1, 16, 1, 112))


def bench_search(*, num_clips: int = 200_000, queries: int = 100) -> dict[str, Any]:
    """Fill a library with made-up vectors, search it by appearance, both and motion, and compare with exact search.

    The vectors are unit vectors of low intrinsic dimension (24 of 128, with noise) that vary around a centre a video;
    motion and appearance are independent, which is the hardest case for one index of both. A query is a clip of the
    library with noise.

    Returns:
        {"rows": [{"alpha", "recall_at_10", "p50_ms", "p99_ms", "located_p50_ms"}], ...}: `p50_ms` is of the ten
        nearest clips, `located_p50_ms` of ten aligned hits; beside them seconds to open, fill and index the library.
    """
    rng = numpy_rng("bench search")
    videos = num_clips // WINDOWS
    motion, appearance = (_vectors(rng, videos) for _ in range(2))
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as folder:
        started = perf_counter()
        store = Store.open_or_create(f"{folder}/library", _ABOUT)
        for first in range(0, videos, _VIDEOS_AT_ONCE):
            rows = [_rows(n, motion, appearance) for n in range(first, min(first + _VIDEOS_AT_ONCE, videos))]
            store.replace([FileRow(row.path, row.content, 1, 1, 41.0, WINDOWS, "") for row in rows], rows)
        filled = perf_counter()
        store.tidy()
        indexed = perf_counter()
        store = Store(store.uri)
        opened = perf_counter()
        chosen = rng.choice(len(motion), queries, replace=False)
        asked = [_unit(part[chosen] + 0.02 * rng.standard_normal((queries, DIM))) for part in (motion, appearance)]
        rows_of_table = [_row(store, asked, (motion, appearance), alpha=alpha) for alpha in (0.0, 0.5, 1.0)]
    return {
        "rows": rows_of_table,
        "clips": len(motion),
        "open_s": opened - indexed,
        "fill_s": filled - started,
        "build_index_s": indexed - filled,
    }


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
    recalls, seconds, located = [], [], []
    for number, vector in enumerate(vectors):
        started = perf_counter()
        found = store.nearest(vector, limit=NEIGHBOURS)
        seconds.append(perf_counter() - started)
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
        "located_p50_ms": statistics.median(located) * 1000,
    }


def _vectors(rng: np.random.Generator, videos: int) -> NDArray[np.float32]:
    basis = rng.standard_normal((LATENT, DIM))
    count = videos * WINDOWS
    latent = rng.standard_normal((videos, LATENT)).repeat(WINDOWS, axis=0) + 0.5 * rng.standard_normal((count, LATENT))
    return _unit(latent @ basis + 0.3 * LATENT**0.5 * rng.standard_normal((count, DIM)))


def _unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _rows(number: int, motion: NDArray[np.float32], appearance: NDArray[np.float32]) -> ClipRows:
    own = slice(number * WINDOWS, (number + 1) * WINDOWS)
    window = np.arange(WINDOWS, dtype=np.int64)
    return ClipRows(
        path=f"/videos/{number:06d}.mp4",
        content=f"{number:064x}",
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
