"""Features on disk as they come: a folder of Parquet parts that any stop leaves whole.

    features.parquet/
      part-000001-r0.parquet      a few hundred rows, written atomically; rank r writes parts of its own
      ...

Every part carries the stamp of what made it (weights, view, version) in its metadata. A row is one window (or one
video); its columns are those of `SCHEMA` and one fixed-size list a kind of vector. A file is done when the store holds
all `windows` rows of its path and content, so a kill in the middle of a long video costs its last part only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import atomic_path
from rspnet.core.locks import claimed
from rspnet.core.urls import content_of

SUFFIX = ".parquet"
STAMP = b"rspnet"
"""Key of the stamp in a part's metadata."""
_OPTIONS = {"clips": "num_clips"}
"""What a view says of windows alone -> the option that it comes from."""
PART_ROWS = 512
PART_SECONDS = 60.0
"""A part is written when it has so many rows, or is so old: what a kill costs at most."""
_ROWS_AT_ONCE = 4096
_TABLES_AT_ONCE = 32
"""So many small tables wait at most, then they become one: their hundreds of small blocks, lying between the large ones
that come and go with every video, would keep the heap from being used again (docs/timelines.md)."""
SCHEMA: Mapping[str, pa.DataType] = {
    "name": pa.string(),
    "path": pa.string(),
    "content": pa.string(),
    "bytes": pa.int64(),
    "mtime_ns": pa.int64(),
    "windows": pa.int32(),
    "window": pa.int32(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
    "first_frame": pa.int64(),
    "last_frame": pa.int64(),
    "fps": pa.float64(),
}
"""The columns of every row but the vectors.

`name` is the path relative to the folder that was asked for, `content` the SHA-256 of the file, `windows` how many rows
the whole file has, `window` the number of this one; times are presentation seconds from the file's first frame.
"""


@dataclass(frozen=True)
class Stamp:
    """What made the vectors of a store: two stores with one stamp may be compared, joined and gone on with.

    Attributes:
        weights_sha256: of the checkpoint file.
        view: everything else that changes a vector, as plain values (window_s, size, precision, ...).
        vectors: lengths of the kinds of vectors, such as {"features": 512, "motion": 128}.
        dtype: of the numbers on disk, "float32" or "float16".
        model: where the checkpoint was; for people, never compared.
        version: of this package; likewise.
    """

    weights_sha256: str
    view: Mapping[str, Any]
    vectors: Mapping[str, int]
    dtype: Literal["float32", "float16"] = "float32"
    model: str = ""
    version: str = ""

    def as_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Stamp:
        """Raises ValueError, KeyError or TypeError where the text is no stamp."""
        return cls(**json.loads(text))

    def difference(self, other: Stamp) -> str:
        """The first thing in which another stamp differs, as text with both values; "" where they agree."""
        for name in ("weights_sha256", "dtype"):
            if getattr(self, name) != getattr(other, name):
                return f"{name} {str(getattr(self, name))[:12]}, not {str(getattr(other, name))[:12]}"
        own, theirs = (json.loads(json.dumps({**item.view, "vectors": item.vectors})) for item in (self, other))
        if not ("plugins_sha256" in own and "plugins_sha256" in theirs):  # not known of scripts and earlier versions
            own, theirs = ({**view, "plugins_sha256": None} for view in (own, theirs))
        for name in sorted({*own, *theirs}, key=lambda name: (name in _OPTIONS, name)):
            if own.get(name) != theirs.get(name):
                return f"{_OPTIONS.get(name, name)} {own.get(name)}, not {theirs.get(name)}"
        return ""

    def schema(self) -> pa.Schema:
        """The columns of a part, with this stamp as metadata."""
        kind = pa.float16() if self.dtype == "float16" else pa.float32()
        vectors = {name: pa.list_(kind, length) for name, length in self.vectors.items()}
        return pa.schema({**SCHEMA, **vectors}, metadata={STAMP: self.as_json()})


@dataclass(frozen=True)
class SourceFile:
    """A file as its features know it: where it is, what is in it, and how to see cheaply that it has not changed."""

    name: str
    path: str
    content: str
    bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, name: str) -> SourceFile:
        """Look at a file and read it through once.

        Raises:
            OSError: it cannot be read.
        """
        status = path.stat()
        return cls(name, str(path.absolute()), content_of(path), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Known:
    """What a store holds of a file: the windows that are done, of `windows` in all."""

    source: SourceFile
    windows: int
    done: frozenset[int]

    @property
    def whole(self) -> bool:
        """Whether every window is there."""
        return len(self.done) == self.windows

    def unchanged(self, path: Path) -> bool:
        """Whether the file is as it was: by size and time, else by its content."""
        try:
            status = path.stat()
            same = (status.st_size, status.st_mtime_ns) == (self.source.bytes, self.source.mtime_ns)
            return same or (status.st_size == self.source.bytes and content_of(path) == self.source.content)
        except OSError:
            return False


class FeatureStore:
    """A folder of Parquet parts with one stamp.

    Args:
        folder: where the parts are; it need not exist.

    Raises:
        RSPNetError: a part is damaged, has no stamp, or has another stamp than the first one.
        ConfigError: `folder` is a file.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"feature store {str(folder)!r} is a file: name a folder")
        self.folder = folder
        self.stamp: Stamp | None = None
        for part in self.parts():
            stamp = stamp_of(part)
            if self.stamp is not None and (difference := self.stamp.difference(stamp)):
                raise RSPNetError(f"feature store {str(folder)!r} is mixed: {part.name!r} was made with {difference}")
            self.stamp = self.stamp or stamp

    def parts(self) -> list[Path]:
        """The parts in the order of their names."""
        return sorted(path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith((".", "_")))

    def __len__(self) -> int:
        """Number of rows."""
        return sum(_metadata(part).num_rows for part in self.parts())

    def refuse_other(self, stamp: Stamp) -> None:
        """Raise `ConfigError`, naming the difference, where the store was made otherwise."""
        if self.stamp is not None and (difference := self.stamp.difference(stamp)):
            raise ConfigError(
                f"feature store {str(self.folder)!r} was made with {difference}: name another --out, or remove it"
            )

    def known(self) -> dict[str, Known]:
        """What is there of every file, by path; a file is held once however many rows it has."""
        columns = ["name", "path", "content", "bytes", "mtime_ns", "windows", "window"]
        files: dict[str, tuple[SourceFile, int]] = {}
        done: dict[str, set[int]] = {}
        for batch in self.batches(columns):
            for row in batch.to_pylist():
                window, windows = row.pop("window"), row.pop("windows")
                files[row["path"]] = SourceFile(**row), windows
                done.setdefault(row["path"], set()).add(window)
        return {path: Known(*files[path], frozenset(windows)) for path, windows in done.items()}

    def batches(self, columns: Sequence[str] | None = None, *, rows: int = _ROWS_AT_ONCE) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the parts, at most `rows` of them in memory at a time.

        Raises:
            RSPNetError: a part is damaged or lacks a column.
        """
        for part in self.parts():
            with _naming(part), pq.ParquetFile(part) as file:
                yield from file.iter_batches(rows, columns=None if columns is None else list(columns))

    def drop(self, paths: Sequence[str]) -> None:
        """Forget files: parts that hold their rows are written again without them, one atomic step a part."""
        if not paths:
            return
        gone = pa.array(sorted(set(paths)), pa.string())
        for part in self.parts():
            with _naming(part):
                held = pq.read_table(part, columns=["path"])["path"]
                drops = pc.is_in(held, value_set=gone)
                if not pc.any(drops).as_py():
                    continue
                left = pq.read_table(part).filter(pc.invert(drops))
            if left.num_rows:
                _write(part, left)
            else:
                part.unlink()

    def writer(self, stamp: Stamp, *, rank: int = 0) -> FeatureWriter:
        """Add rows to the store; use it in a `with` statement. Ranks write at the same time, each parts of its own."""
        self.refuse_other(stamp)
        return FeatureWriter(self, stamp, rank)


class FeatureWriter:
    """Collects rows and writes them part by part; leaving it writes what is left, after an error or a stop as well.

    Raises:
        ConfigError: another process writes as this rank into this store.
    """

    def __init__(self, store: FeatureStore, stamp: Stamp, rank: int) -> None:
        self.store, self.stamp, self.rank = store, stamp, rank
        self._schema = stamp.schema()
        self._waiting: list[pa.Table] = []
        self._since = time.monotonic()
        self._held = ExitStack()
        if not self._held.enter_context(claimed(store.folder / f".writer-{rank}")):
            self._held.close()
            raise ConfigError(f"feature store {str(store.folder)!r} is being written by another process: wait for it")
        for left in store.folder.glob(f".part-*-r{rank}{SUFFIX}.*.tmp"):  # by a writer that was killed
            left.unlink(missing_ok=True)
        names = [part.name for part in store.parts() if part.name.endswith(f"-r{rank}{SUFFIX}")]
        self._number = max((int(name.split("-")[1]) for name in names), default=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self.flush()

    def add(self, source: SourceFile, columns: Mapping[str, NDArray[Any]], *, windows: int, fps: float) -> None:
        """Add rows of one file that belong together: a part never ends between them.

        Args:
            source: the file.
            columns: [n] window, start_s, end_s, first_frame, last_frame, and [n, length] every kind of vector.
            windows: rows the whole file has when it is done.
            fps: its average frames a second.
        """
        count = len(columns["window"])
        fixed = {
            **{name: getattr(source, name) for name in source.__dataclass_fields__},
            "windows": windows,
            "fps": fps,
        }
        arrays = []
        for field in self._schema:
            if field.name in fixed:
                arrays.append(pa.repeat(pa.scalar(fixed[field.name], field.type), count))
            elif field.name in self.stamp.vectors:
                arrays.append(_vectors(columns[field.name], field.type))
            else:
                arrays.append(pa.array(columns[field.name], field.type))
        self._waiting.append(pa.Table.from_arrays(arrays, schema=self._schema))
        if len(self._waiting) >= _TABLES_AT_ONCE:
            self._waiting = [pa.concat_tables(self._waiting).combine_chunks()]
        old = time.monotonic() - self._since > PART_SECONDS
        if old or sum(table.num_rows for table in self._waiting) >= PART_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as a part."""
        if self._waiting:
            self._number += 1
            _write(self.store.folder / f"part-{self._number:06d}-r{self.rank}{SUFFIX}", pa.concat_tables(self._waiting))
            self._waiting = []
        self._since = time.monotonic()


def stamp_of(part: Path) -> Stamp:
    """The stamp of a part.

    Raises:
        RSPNetError: the file cannot be read or has none.
    """
    try:
        return Stamp.from_json((_metadata(part).metadata or {})[STAMP])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, RSPNetError):
            raise
        raise RSPNetError(f"{str(part)!r} is no file of features: it has no stamp of rspnet") from error


def _metadata(part: Path) -> pq.FileMetaData:
    with _naming(part):
        return pq.read_metadata(part)


@contextmanager
def _naming(part: Path) -> Iterator[None]:
    """Turn what pyarrow raises of unreadable files into an error that names the part."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise RSPNetError(f"features {str(part)!r} are damaged: {first}; remove the part and go on") from error


def _vectors(rows: NDArray[Any], kind: pa.FixedSizeListType) -> pa.FixedSizeListArray:
    flat = np.ascontiguousarray(rows, kind.value_type.to_pandas_dtype()).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), kind.list_size)


def _write(path: Path, table: pa.Table) -> None:
    texts = ["name", "path", "content"]
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=texts)
