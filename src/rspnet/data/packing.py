"""Writing shards: videos one after the other into tar files, whole files only, and notes to go on by."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rspnet.core.errors import RSPNetError
from rspnet.core.files import atomic_path, json_lines
from rspnet.core.packs import INDEX, SCHEMA
from rspnet.data.annotations import VideoRecord
from rspnet.data.checks.inspection import Report

_PIECE_BYTES = 8 * 2**20
_BLOCK_BYTES = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK_BYTES)
Row = dict[str, Any]
"""A row of the index, and `version`: what `version_of` said of the file, and the settings if another was made of it."""


def version_of(path: Path) -> list[int]:
    """Size and time of change of a file: what has to stay for a packed copy to hold.

    Raises:
        OSError: there is no such file.
    """
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def member_names(names: Sequence[str]) -> dict[str, str]:
    """What every video is called in its tar file, by name: relative, and different up to the first dot.

    Programs that read shards group members by what stands before the first dot of their file names.
    """
    taken: set[str] = set()
    found = {}
    for name in names:
        parts = ["_" if part in ("..", ".") else part for part in name.replace("://", "/").split("/") if part]
        file = PurePosixPath(parts[-1])
        key = "/".join([*parts[:-1], file.stem.replace(".", "%2E")])
        if key in taken:
            key += "%2E" + file.suffix[1:]
        while key in taken:
            key += "_"
        taken.add(key)
        found[name] = key + file.suffix
    return found


class Made(NamedTuple):
    """A file made of a video, to be packed in its place, and how it was made."""

    path: Path
    settings: tuple[int, ...]


class Packer:
    """Writes shards of at most some bytes, numbered on from those that are there.

    Args:
        folder: of the shards.
        notes: JSON lines, one a shard: its name, bytes and rows.
        limit_bytes: of a shard; a video that is larger gets one to itself.
    """

    def __init__(self, folder: Path, notes: Path, *, limit_bytes: int) -> None:
        self._folder, self._notes, self._limit = folder, notes, limit_bytes
        shards = [note["shard"] for note in json_lines(notes)]
        self._number = max((int(Path(shard).stem) for shard in shards), default=-1)
        for left in folder.glob(".*.tar.*.tmp"):  # by a call that was killed
            left.unlink()
        self._open = ExitStack()
        self._file: BinaryIO | None = None
        self._rows: list[Row] = []

    def add(self, record: VideoRecord, report: Report, member: str, *, made: Made | None = None) -> None:
        """Copy a video, or what was made of it, behind the others.

        Raises:
            OSError: it cannot be read, or has changed meanwhile; nothing of it stays.
            RSPNetError: the shard cannot be written.
        """
        version, content = version_of(record.path), record.path if made is None else made.path
        size = content.stat().st_size
        facts = {"frames": report.frames, "fps": report.fps, "label": record.label, "class_name": record.class_name}
        about = json.dumps({"name": record.name, **facts}).encode()
        header, tail = _header(member, size), bytes(-size % _BLOCK_BYTES)
        tail += _header(str(PurePosixPath(member).with_suffix(".json")), len(about)) + about
        tail += bytes(-len(about) % _BLOCK_BYTES)
        length = len(header) + size + len(tail)
        if self._file is not None and self._file.tell() + length + len(_END) > self._limit:
            self.close_shard()
        file = self._file or self._open_shard()
        start = file.tell()
        try:
            with content.open("rb") as source:
                file.write(header)
                while piece := source.read(_PIECE_BYTES):
                    file.write(piece)
            if file.tell() - start - len(header) != size or version_of(record.path) != version:
                raise OSError(0, "it changed while it was packed")
            file.write(tail)
        except BaseException:
            file.seek(start)
            file.truncate()
            raise
        place = {"name": record.name, "shard": self._shard, "offset": start + len(header), "size": size}
        self._rows.append(place | facts | {"version": [*version, *(() if made is None else made.settings)]})

    @property
    def _shard(self) -> str:
        return f"{self._number:06d}.tar"

    def _open_shard(self) -> BinaryIO:
        self._number += 1
        temporary = self._open.enter_context(atomic_path(self._folder / self._shard))
        self._file = self._open.enter_context(temporary.open("wb"))
        return self._file

    def close_shard(self) -> None:
        """Finish the shard at work, if there is one, and note it."""
        if self._file is None:
            return
        self._file.write(_END)
        self._file.write(bytes(-self._file.tell() % tarfile.RECORDSIZE))
        size, self._file = self._file.tell(), None
        self._open.close()
        with self._notes.open("a", encoding="utf-8") as notes:
            notes.write(json.dumps({"shard": self._shard, "bytes": size, "rows": self._rows}) + "\n")
        self._rows = []

    def discard(self) -> None:
        """Leave the shard at work away."""
        self._file = None
        self._open.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def packed_rows(folder: Path, notes: Path) -> dict[str, Row]:
    """What whole shards hold, by name; a video that was packed again counts as the last one."""
    found: dict[str, Row] = {}
    for note in json_lines(notes):
        shard = folder / note["shard"]
        if shard.is_file() and shard.stat().st_size == note["bytes"]:
            found |= {row["name"]: row for row in note["rows"]}
    return found


def write_index(folder: Path, rows: Sequence[Row]) -> None:
    """Write the index of a folder of shards.

    Raises:
        RSPNetError: there is no row, or the file cannot be written.
    """
    if not rows:
        raise RSPNetError(f"{str(folder)!r} would hold no video")
    ordered = sorted(rows, key=lambda row: row["name"])
    with atomic_path(folder / INDEX) as temporary:
        pq.write_table(pa.Table.from_pylist(ordered, schema=SCHEMA), temporary)
