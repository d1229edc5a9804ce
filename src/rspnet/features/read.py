"""Features back from disk: arrays and a table, from a store, a Parquet file, a .npz, or the run folder of any."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.files import READ_HERE, refuse_address
from rspnet.core.npz import read_npz
from rspnet.features.store import STAMP, SUFFIX, FeatureStore, Stamp

STORE = f"features{SUFFIX}"
"""What the store is called in a run folder."""
KINDS = ("features", "appearance", "motion")


@dataclass(frozen=True, repr=False)
class FeatureTable:
    """Features of videos or of their windows, sorted by path and window.

    Attributes:
        table: a pyarrow.Table of N rows: name, path, start_s, end_s, first_frame, last_frame, fps, ... and the vectors
            (`.to_pandas()` and `polars.from_arrow()` take it as it is).
        features: [N, C], the backbone's vectors, float32 or float16 as they were written.
        appearance: [N, D], unit vectors of the A-VID head; D = 0 where the network has no such head.
        motion: [N, D], unit vectors of the RSP head; likewise.
        stamp: weights, view and version of what made them; None for files of versions that wrote none.
    """

    table: pa.Table
    features: NDArray[np.floating[Any]]
    appearance: NDArray[np.floating[Any]]
    motion: NDArray[np.floating[Any]]
    stamp: Stamp | None

    def __len__(self) -> int:
        """Number of rows, N."""
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        """Shapes and columns, no numbers."""
        shapes = ", ".join(f"{kind} {list(getattr(self, kind).shape)}" for kind in KINDS)
        columns = ", ".join(name for name in self.table.column_names if name not in KINDS)
        return f"FeatureTable({counted(len(self), 'row')}: {shapes}; columns {columns})"


def read_features(path: str | os.PathLike[str]) -> FeatureTable:
    """Read what `rspnet embed` wrote.

    Args:
        path: its run folder, the folder of parts `features.parquet` in it, one Parquet file, or a `features.npz`.

    Raises:
        RSPNetError: there are no features at `path`, or they are damaged.

    Example:
        >>> found = rspnet.read_features("features")
        >>> found.features.shape, found.table.column_names
    """
    place = find_features(Path(path))
    if place.suffix == ".npz":
        return _of_table(_npz_table(place), None, place=place)
    if place.is_file():
        try:
            table = pq.read_table(place)
        except (pa.ArrowException, OSError) as error:
            raise RSPNetError(f"cannot read features {str(place)!r}: {reason_of(error)}") from error
        metadata = table.schema.metadata or {}
        return _of_table(table, Stamp.from_json(metadata[STAMP]) if STAMP in metadata else None, place=place)
    store = open_store(place)
    table = pa.Table.from_batches(store.batches())
    return _of_table(table.sort_by([("path", "ascending"), ("window", "ascending")]), store.stamp, place=place)


def open_store(path: Path) -> FeatureStore:
    """The store of parts that `path` is or holds.

    Raises:
        RSPNetError: there is none, it is empty, or the features are of another form.
    """
    place = find_features(path)
    if not place.is_dir():
        raise RSPNetError(f"{str(place)!r} has no times or stamp: make features by rspnet embed with --format parquet")
    store = FeatureStore(place)
    if store.stamp is None:
        raise RSPNetError(f"feature store {str(place)!r} is empty: run rspnet embed")
    return store


@dataclass(frozen=True)
class StoredVideo:
    """The windows of one video, by their start.

    Attributes:
        name: what it is called.
        path: the file.
        fps: average frames a second.
        start_s: [n].
        end_s: [n].
        values: [n, ...], what was made of their vectors.
    """

    name: str
    path: str
    fps: float
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    values: NDArray[Any]


def stream_videos(
    store: FeatureStore,
    kinds: Sequence[str],
    make: Callable[[NDArray[np.floating[Any]]], NDArray[Any]],
    *,
    only: Collection[str] | None = None,
) -> Iterator[StoredVideo]:
    """The videos of a store, one after the other, each as soon as its windows are all there.

    Vectors are held a few thousand at a time; what is made of them is held for the videos that are not whole yet.

    Args:
        store: features with times.
        kinds: of vectors, which are joined side by side.
        make: values [m, ...] of joined vectors [m, D].
        only: paths of the videos to read; by default all.

    Raises:
        RSPNetError: a damaged part, or vectors of a kind that the store lacks.
    """
    waiting: dict[str, list[tuple[pa.RecordBatch, NDArray[Any]]]] = {}
    left: dict[str, int] = {}
    own = ["name", "path", "fps", "windows", "window", "start_s", "end_s"]
    for kind in kinds:
        if store.stamp is None or kind not in store.stamp.vectors:
            there = ", ".join(store.stamp.vectors) if store.stamp else "none"
            raise RSPNetError(f"feature store {str(store.folder)!r} has no vectors {kind!r}: it has {there}")
    for batch in store.batches([*own, *kinds]):
        paths = np.asarray(batch["path"].to_pylist(), dtype=object)
        for path in dict.fromkeys(paths):
            if only is not None and path not in only:
                continue
            rows = batch.filter(pa.array(paths == path))
            values = make(np.concatenate([matrix(rows, kind) for kind in kinds], axis=1))
            waiting.setdefault(path, []).append((rows.select(own), values))
            left[path] = left.get(path, rows["windows"][0].as_py()) - rows.num_rows
            if left[path] == 0:
                yield _stored(path, waiting.pop(path))
    for path, parts in waiting.items():  # some windows could not be read
        yield _stored(path, parts)


def _stored(path: str, parts: Sequence[tuple[pa.RecordBatch, NDArray[Any]]]) -> StoredVideo:
    table = pa.Table.from_batches([rows for rows, _ in parts])
    order = np.argsort(table["window"].to_numpy(), kind="stable")
    values = np.concatenate([part for _, part in parts])[order]
    start, end = (table[name].to_numpy()[order] for name in ("start_s", "end_s"))
    return StoredVideo(table["name"][0].as_py(), path, table["fps"][0].as_py(), start, end, values)


def find_features(path: Path) -> Path:
    """The store, Parquet file or .npz that `path` is or holds.

    Raises:
        RSPNetError: it is and holds none.
    """
    refuse_address("features", str(path), rule=READ_HERE)
    for place in (path / STORE, path / "features.npz"):
        if place.exists():
            return place
    if path.suffix in (SUFFIX, ".npz") and path.exists():
        return path
    if path.is_dir() and any(path.glob(f"*{SUFFIX}")):
        return path
    raise RSPNetError(f"{str(path)!r} holds no features: rspnet embed writes {STORE} or features.npz")


def holds_features(path: Path) -> bool:
    """Whether `find_features` finds any there."""
    try:
        find_features(path)
    except RSPNetError:
        return False
    return True


def _of_table(table: pa.Table, stamp: Stamp | None, *, place: Path) -> FeatureTable:
    if not {*KINDS} & {*table.column_names}:
        raise RSPNetError(f"{str(place)!r} holds no features: it has no column {', '.join(KINDS)}")
    features, appearance, motion = (matrix(table, name) for name in KINDS)
    return FeatureTable(table, features, appearance, motion, stamp)


def matrix(table: pa.Table | pa.RecordBatch, name: str) -> NDArray[np.floating[Any]]:
    """A column of equally long lists as [N, length]; [N, 0] where there is no such column.

    Raises:
        RSPNetError: it holds something else than numbers of one length.
    """
    if name not in table.column_names:
        return np.zeros((table.num_rows, 0), np.float32)
    column = table[name]
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    lists = any(is_kind(whole.type) for is_kind in kinds)
    lengths = pc.list_value_length(whole).unique().to_pylist() if lists and len(whole) else [0]
    numbers = lists and (pa.types.is_floating(whole.type.value_type) or pa.types.is_integer(whole.type.value_type))
    if not numbers or len(lengths) > 1 or None in lengths:
        raise RSPNetError(f"column {name}: {len(whole)} lists of numbers of one length are needed, not {whole.type}")
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(table.num_rows, -1) if table.num_rows else np.zeros((0, 0), np.float32)


def _npz_table(path: Path) -> pa.Table:
    try:
        return pa.table({name: _column(values) for name, values in read_npz(path).items()})
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RSPNetError(f"cannot read features {str(path)!r}: {reason_of(error)}") from error


def _column(values: NDArray[Any]) -> pa.Array:
    if values.ndim == 0:
        raise ValueError("an array of no dimension")
    if values.ndim == 1:
        return pa.array(values.tolist() if values.dtype.kind == "U" else values)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])
