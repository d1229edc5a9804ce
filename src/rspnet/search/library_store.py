"""The library on disk: four LanceDB tables, written so that a crash at any moment costs one batch at most.

`about` has one row: which model and settings made the library. `files` has a row for every video that is done (or
cannot be read), `clips` one for every window. A batch first loses its old clips, then gets its clips, then its file
rows; each step is one atomic commit. A file without a row in `files`, or with another size and time there, is not
done: whatever clips it has are removed before it is done again. `spaces` has the maps that windows are compared by;
which of them made the vectors of `clips` is noted in its schema, so that both change in one commit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.features.read import matrix
from rspnet.features.windows import ClipSettings
from rspnet.search.lance import connect, naming
from rspnet.search.library_tables import (
    About,
    ClipRows,
    FileRow,
    Vectors,
    clip_table,
    conditions,
    file_table,
    narrowed,
    space_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from rspnet.search.library_space import LibrarySpace

SCHEMA = 6
_TABLES = {"about", "files", "clips"}
"""What every version of a library has."""
_SPACE = b"space"
ANN_FROM_CLIPS = 50_000
"""Below this many clips a search compares with every one: exact, and as fast."""
KEPT_FOR = timedelta(days=1)
"""How long the state before a change of a library can still be read by who opened it then, and takes room on disk."""
# Queries by motion or appearance alone need many: the partitions are made of both (docs: recall by share probed).
_PROBED_SHARE = 0.4
_INDEX_BITS, _REFINED = 4, 2
"""Bits of a number in the index (RaBitQ), and how many times the clips wanted are compared by their vectors.

Of 2 million clips, 20 compared give recall@10 0.99. With one bit it took 632, whose reading cost more than the rest.
"""
_BYTE = 8
"""RaBitQ takes vectors whose lengths are multiples of it."""
_COMPACT_FRAGMENTS = 32


class Store:
    """An open library.

    Args:
        uri: a folder, or an object-store address that LanceDB takes (s3://, gs://, az://).

    Raises:
        RSPNetError: there is no library at `uri`, or it is of another version of this package.
        ConfigError: LanceDB is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.require(uri)
        self._db = connect(uri)
        with naming(uri):
            self._about, self._files, self._clips = (self._db.open_table(name) for name in ("about", "files", "clips"))
            content = json.loads(self._about.to_arrow()["json"][0].as_py())
        if content.pop("schema") != SCHEMA:
            raise RSPNetError(
                f"library {uri!r} was made by another version of rspnet: index the videos into another folder (--out), "
                "or delete this one first"
            )
        with naming(uri):
            self._spaces = self._db.open_table("spaces")
        self._indexed = self._has_index()
        self._root = math.sqrt(len(self))
        self.about = About(**{**content, "clip": ClipSettings(**content["clip"])})

    @classmethod
    def require(cls, uri: str) -> None:
        """Raise `RSPNetError` unless there is a library at an address."""
        if not cls.exists(uri):
            raise RSPNetError(f"{uri!r} is no library of videos: make one with rspnet index DIR --out {uri}")

    @staticmethod
    def exists(uri: str) -> bool:
        """Whether there is a library at an address."""
        return ("://" in uri or Path(uri).exists()) and set(_table_names(connect(uri))) >= _TABLES

    @classmethod
    def open_or_create(cls, uri: str, about: About) -> Store:
        """The library at `uri`; a new one if there is none.

        Raises:
            ConfigError: the library was made by another model or with other settings; names both.
        """
        db = connect(uri)
        if not set(_table_names(db)) >= _TABLES:
            _create(db, about)
        store = cls(uri)
        store.refuse_other(about)
        return store

    def refuse_other(self, about: About) -> None:
        """Raise `ConfigError` unless the library was made by this model with these settings."""
        self.refuse_other_model(about.model, about.weights_sha256)
        self.refuse_other_code(about.plugins_sha256)
        own, wanted = (asdict(item.clip) | {"precision": item.precision} for item in (self.about, about))
        for name, value in wanted.items():
            if own[name] != value:
                option = "num_clips" if name == "clips" else name
                made = f"library {self.uri!r} was made with --{option} {own[name] or 0}"
                raise ConfigError(f"{made}, not {value or 0}: keep it, or name a new --out")

    def refuse_other_model(self, model: str, weights_sha256: str) -> None:
        """Raise `ConfigError` unless the library was made by this checkpoint file."""
        if weights_sha256 != self.about.weights_sha256:
            raise ConfigError(
                f"library {self.uri!r} was made by model {self.about.model!r} "
                f"(sha256 {self.about.weights_sha256[:12]}), not by {model!r} (sha256 {weights_sha256[:12]}): "
                "use that model, or name a new --out"
            )

    def refuse_other_code(self, plugins_sha256: str) -> None:
        """Raise `ConfigError` unless the library was made by this code of the plug-in that defines the network."""
        if plugins_sha256 and self.about.plugins_sha256 not in ("", plugins_sha256):
            code = "other code of the plug-in that defines the network"
            raise ConfigError(f"library {self.uri!r} was made by {code}: use that code, or name a new --out")

    def __len__(self) -> int:
        """Number of clips."""
        return int(self._clips.count_rows())

    @property
    def approximate(self) -> bool:
        """Whether `nearest` looks at a part of the clips, by an index."""
        return self._indexed

    @cached_property
    def space(self) -> LibrarySpace | None:
        """The maps that windows are compared by; None where they are compared by the network's own vectors."""
        name = ((self._clips.schema.metadata or {}).get(_SPACE) or b"").decode()
        if not name:
            return None
        from rspnet.search.library_space import LibrarySpace

        with naming(self.uri):
            (row,) = self._spaces.search().where(f"name = '{name}'").limit(1).to_arrow().to_pylist()
        return LibrarySpace.from_bytes(row["maps"], name)

    def compared(self, vectors: Mapping[str, Vectors]) -> tuple[Vectors, Vectors]:
        """Motion [n, M] and appearance [n, A] as this library compares them, of the network's vectors by kind."""
        if self.space is None:
            return vectors["motion"], vectors["appearance"]
        return self.space.vectors(vectors["features"], vectors["appearance"], self.about)

    def files(self) -> dict[str, FileRow]:
        """All file rows by path."""
        with naming(self.uri):
            return {row["path"]: FileRow(**row) for row in self._files.to_arrow().to_pylist()}

    def files_of(self, paths: Sequence[str]) -> Iterator[FileRow]:
        """The file rows of some videos, in any order."""
        for condition in conditions("path", paths):
            with naming(self.uri):
                found = self._files.search().where(condition).to_arrow().to_pylist()
            yield from (FileRow(**row) for row in found)

    # --- writing ----------------------------------------------------------------------------------------------------

    def replace(
        self, files: Sequence[FileRow], clips: Sequence[ClipRows], *, stale: Collection[str] | None = None
    ) -> None:
        """Write a batch of videos, in the place of what the library has of them.

        Args:
            files: rows of videos that are whole with this batch.
            clips: rows of their clips, or of a part of a video that is not whole yet.
            stale: the videos of which the library has something that is to leave; by default all of the batch.
        """
        if stale is None:
            stale = {row.path for row in self.files_of([file.path for file in files])}
        self._delete(self._clips, sorted(stale))
        if clips:
            self._clips.add(clip_table(clips, self.about, space=self.space))
        self._delete(self._files, sorted(stale))
        if files:
            self._files.add(file_table(files))

    def remove(self, paths: Sequence[str]) -> None:
        """Forget videos."""
        self._delete(self._clips, paths)
        self._delete(self._files, paths)

    def touch(self, files: Sequence[FileRow]) -> None:
        """Note a new time of change for videos whose content is the old one."""
        self._delete(self._files, [file.path for file in files])
        if files:
            self._files.add(file_table(files))

    def unfinished(self, known: Collection[str]) -> dict[str, tuple[str, frozenset[int]]]:
        """Clips of videos without a file row, of which the rows `known` are all: what a stopped run left.

        Returns:
            path -> (content hash, windows that are stored); a video of two contents has the hash "".
        """
        with naming(self.uri):
            stored = self._clips.search().select(["path"]).to_arrow()["path"].unique().to_pylist()
        found: dict[str, tuple[str, frozenset[int]]] = {}
        for rows in self.clips_of([path for path in stored if path not in known]):
            content = rows.content if rows.path not in found and len(np.unique(rows.window)) == len(rows.window) else ""
            found[rows.path] = content, frozenset(rows.window.tolist())
        return found

    def merge_pieces(self) -> None:
        """Merge small pieces on disk, for long runs: each change of a table writes a list of all its pieces."""
        with naming(self.uri):
            for table in (self._files, self._clips):
                _merge(table)

    def settle(self) -> None:
        """Fit the maps to the windows that there are now, and compare these by them, where that is due.

        One commit, and never again once there is an approximate index.
        """
        if not self.about.whitened or self._indexed:
            return
        import pyarrow as pa

        from rspnet.search.library_space import compared_anew, due_space

        space = due_space(self._clips, self.about, self.space)
        if space is None:
            return
        self._spaces.add(space_table((space.name, space.as_bytes())))
        schema = self._clips.schema.with_metadata({_SPACE: space.name.encode()})
        rows = pa.RecordBatchReader.from_batches(schema, compared_anew(self._clips, self.about, space, schema))
        self._clips = self._db.create_table("clips", rows, mode="overwrite")
        old = space if self.space is None else self.space  # whoever opens the library now may need both
        self._spaces.delete(f"name NOT IN ('{space.name}', '{old.name}')")
        self.space = space

    def tidy(self) -> None:
        """Merge small pieces on disk; past `ANN_FROM_CLIPS` clips build the approximate index or update it.

        Old versions of the tables go once they are `KEPT_FOR` old: until then whoever has them open may read on.
        """
        self.settle()
        for table in (self._files, self._clips):
            is_split = table.stats()["fragment_stats"]["num_fragments"] > _COMPACT_FRAGMENTS
            if is_split or _is_old(table.list_versions()[0]["timestamp"]) or (self._indexed and table is self._clips):
                _merge(table)
        count = len(self)
        if count < ANN_FROM_CLIPS or self._indexed:
            return
        from lancedb.index import BTree, IvfFlat, IvfRq

        options: dict[str, Any] = {"distance_type": "dot", "num_partitions": round(count**0.5)}
        is_odd = (self.about.motion + self.about.appearance) % _BYTE
        config = IvfFlat(**options) if is_odd else IvfRq(**options, num_bits=_INDEX_BITS)
        self._clips.create_index("vector", config=config)
        self._clips.create_index("path", config=BTree())
        self._indexed, self._root = True, math.sqrt(count)

    def _has_index(self) -> bool:
        return any("vector" in index.columns for index in self._clips.list_indices())

    def _delete(self, table: Any, paths: Sequence[str]) -> None:
        for condition in conditions("path", paths):
            with naming(self.uri):
                table.delete(condition)

    # --- reading ----------------------------------------------------------------------------------------------------

    def nearest(
        self,
        query: Vectors,
        *,
        limit: int,
        not_content: Collection[str] = (),
        within: Collection[str] | None = None,
        exact: bool = False,
    ) -> list[tuple[str, float]]:
        """The clips with the greatest dot product with one query vector [M + A]: (path, dot product), best first.

        Exact without an index, approximate with one.

        Args:
            query: the vector.
            limit: clips at most.
            not_content: files whose content is one of these are left out.
            within: narrows the search before it begins: to these videos where they are few, else to those between the
                first and the last of them by name (a folder's videos are neighbours); some may be others then.
            exact: compare with every clip that is left.
        """
        search = self._clips.search(query, vector_column_name="vector").distance_type("dot")
        where = [f"NOT ({' OR '.join(conditions('content', sorted(not_content)))})"] if not_content else []
        if within is not None:
            where.append(narrowed(within))
        if where:
            search = search.where(" AND ".join(where), prefilter=True)
        if self._indexed:
            probes = max(1, round(_PROBED_SHARE * self._root))
            search = search.bypass_vector_index() if exact else search.nprobes(probes).refine_factor(_REFINED)
        with naming(self.uri):
            found = search.select(["path", "_distance"]).limit(limit).to_arrow()
        # LanceDB's dot "distance" is 1 - dot product.
        return [
            (path, 1 - far) for path, far in zip(*(found[n].to_pylist() for n in ("path", "_distance")), strict=True)
        ]

    def clips_of(self, paths: Sequence[str]) -> Iterator[ClipRows]:
        """The windows of some videos, in the order of their windows; backbone features are left empty."""
        columns = ["path", "content", "fps", "width", "height", "window", "start_s", "end_s", "vector"]
        for condition in conditions("path", paths):
            with naming(self.uri):
                table = self._clips.search().where(condition).select(columns).to_arrow().sort_by("window")
            names = np.asarray(table["path"].to_pylist(), dtype=object)
            vectors = matrix(table, "vector")
            for path in dict.fromkeys(names):
                rows = np.flatnonzero(names == path)
                own = {name: table[name].to_numpy()[rows] for name in ("window", "start_s", "end_s")}
                one = {
                    name: table[name][int(rows[0])].as_py() for name in ("path", "content", "fps", "width", "height")
                }
                motion, appearance = self.parts_of(vectors[rows])
                empty = np.zeros((len(rows), 0), np.float32)
                yield ClipRows(**one, **own, motion=motion, appearance=appearance, features=empty)

    def rows(self, columns: Sequence[str], paths: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Some columns of all windows (or of those of some videos), a batch at a time, in any order.

        Raises:
            RSPNetError: the library is damaged.
        """
        for condition in [None] if paths is None else conditions("path", paths):
            search = self._clips.search().select(list(columns))
            with naming(self.uri):
                yield from (search if condition is None else search.where(condition)).to_batches()

    def parts_of(self, vectors: Vectors) -> tuple[Vectors, Vectors]:
        """Motion [N, M] and appearance [N, A] of joined vectors [N, M + A]."""
        return vectors[:, : self.about.motion], vectors[:, self.about.motion :]

    def video_means(self) -> tuple[list[str], Vectors]:
        """Every video by the mean [motion, appearance] vector of its windows: paths in order, float32 [N, M + A]."""
        rows: dict[str, int] = {}
        sums: list[NDArray[np.float64]] = []
        counts: list[int] = []
        for batch in self.rows(["path", "vector"]):
            vectors = np.asarray(batch["vector"].flatten().to_numpy(zero_copy_only=False), np.float64)
            for path, vector in zip(batch["path"].to_pylist(), vectors.reshape(batch.num_rows, -1), strict=True):
                if rows.setdefault(path, len(sums)) == len(sums):
                    sums.append(np.zeros_like(vector))
                    counts.append(0)
                sums[rows[path]] += vector
                counts[rows[path]] += 1
        paths = sorted(rows)
        means = [sums[rows[path]] / counts[rows[path]] for path in paths]
        return paths, np.asarray(means, np.float32).reshape(len(paths), self.about.motion + self.about.appearance)


def _merge(table: Any) -> None:
    table.optimize(cleanup_older_than=KEPT_FOR)


def _is_old(made: datetime) -> bool:
    return made.astimezone(UTC) < datetime.now(UTC) - KEPT_FOR


def _table_names(db: Any) -> list[str]:
    return list(db.list_tables().tables)


def _create(db: Any, about: About) -> None:
    """The tables; `about` comes last, so that a library without it is not one and is made again."""
    db.create_table("clips", clip_table([], about), mode="overwrite")
    db.create_table("files", file_table([]), mode="overwrite")
    db.create_table("spaces", space_table(), mode="overwrite")
    import pyarrow as pa

    content = json.dumps({"schema": SCHEMA, **asdict(about)})
    db.create_table("about", pa.table({"json": [content]}), mode="overwrite")
