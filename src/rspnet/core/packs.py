"""Videos packed into shards: plain tar files, and an index that says where in them every video lies.

A packed video is named by a URL, `pack://SHARDS!/NAME@SHARD:OFFSET:SIZE`, where SHARDS is the folder's path (as
`file:/...`) or its URL with one slash (`s3:/...`); the part behind @ may be left out and is then looked up. Tar members
lie uncompressed, so such a video is read by ranges of its shard, on disk and in object stores alike, and everything
that takes a folder takes a folder of shards. Annotation lists lie next to the shards, where they lay in the folder of
videos, and are seen there among the packed videos.
"""

from __future__ import annotations

import errno
import io
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rspnet.core import storage
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import atomic_path
from rspnet.core.urls import UrlPath, as_path

SCHEME = "pack"
INDEX = "index.parquet"
NOTES = ".pack"
"""Folder in that of the shards, for what `rspnet pack` notes."""
OWN_FILES = {"pack": (NOTES, INDEX), "transcode": (".transcode",)}
"""Command that fills a folder with videos -> what such a folder holds of its own."""
_ANNOTATIONS = (".csv", ".txt", ".json")
"""Endings of annotation files."""
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("frames", pa.int64()),
        ("fps", pa.float64()),
        ("label", pa.int64()),
        ("class_name", pa.string()),
    ]
)
"""Of the index; its rows are in the order of the names."""

PLACE = re.compile(r"(?P<name>.*)@(?P<shard>[^@/:]+):(?P<offset>\d+):(?P<size>\d+)", re.DOTALL)


class Place(NamedTuple):
    """Where a packed video lies: the name of its shard, first byte, and bytes."""

    shard: str
    offset: int
    size: int


def refuse_other_files(out: Path, *, own: Sequence[str]) -> None:
    """Raise `ConfigError` where a folder that a command fills with videos has files, but none of its `own`.

    Hidden files do not count, nor what a fresh disk has.
    """
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not names & set(own) and any(not name.startswith(".") and name != "lost+found" for name in names):
        raise ConfigError(f"--out {str(out)!r} holds other files: name a new folder")


def folder_url(folder: str | os.PathLike[str]) -> str:
    """The URL of a folder of shards as a folder of videos."""
    text = os.fspath(folder)
    text = text.replace("://", ":/", 1) if "://" in text else f"file:{os.path.abspath(text)}"  # noqa: PTH100 - text
    return f"{SCHEME}://{text.rstrip('/').replace('%', '%25').replace('!', '%21')}!"


def taken_apart(url: str) -> tuple[Path, str, Place | None]:
    """The folder of shards, the name in it, and its place if a `pack:` URL says it.

    Raises:
        ValueError: it is none.
    """
    folder, mark, name = url.removeprefix(f"{SCHEME}://").partition("!")
    if not mark or not url.startswith(f"{SCHEME}://"):
        raise ValueError(f"{url!r} is not of the form {SCHEME}://SHARDS!/NAME")
    path, name = as_path(folder.replace("%21", "!").replace("%25", "%")), name.strip("/")
    found = PLACE.fullmatch(name)
    if found is None:
        return path, name, None
    return path, found["name"], Place(found["shard"], int(found["offset"]), int(found["size"]))


def lists_below(folder: Path) -> list[str]:
    """The names of all annotation lists below a folder, relative to it; hidden files and folders are not looked at."""
    found = (
        path.relative_to(folder) for suffix in _ANNOTATIONS for path in folder.rglob(f"*{suffix}") if path.is_file()
    )
    return sorted(name.as_posix() for name in found if not any(part.startswith(".") for part in name.parts))


def copy_lists(source: Path, target: Path) -> None:
    """Copy the annotation lists of a folder into another folder, where they keep their places; or a list by itself."""
    lists = {name: source / name for name in lists_below(source)} if source.is_dir() else {source.name: source}
    for name, file in lists.items():
        with atomic_path(target / name) as temporary:
            temporary.write_bytes(file.read_bytes())


class Index:
    """The index of a folder of shards.

    Attributes:
        table: its rows, by `SCHEMA`.
        lists: the names of the annotation lists that lie next to the shards.
    """

    def __init__(self, table: pa.Table, lists: Sequence[str] = ()) -> None:
        self.lists = lists
        self.table = table.combine_chunks()
        self._names = _Names(self.table["name"])

    def place_of(self, name: str) -> Place | None:
        """Where a video lies."""
        at = bisect_left(self._names, name)
        if at == len(self._names) or self._names[at] != name:
            return None
        return Place(*(self.table[column][at].as_py() for column in ("shard", "offset", "size")))

    def below(self, folder: str) -> list[str]:
        """The names of all videos and lists below a folder ("" is all)."""
        lists = [name for name in self.lists if not folder or name.startswith(f"{folder}/")]
        return [*self._videos_below(folder), *lists]

    def _videos_below(self, folder: str) -> list[str]:
        if not folder:
            return list(self.table["name"].to_pylist())
        first, last = (bisect_left(self._names, folder + mark) for mark in ("/", "0"))  # "0" comes after "/"
        return list(self.table["name"].slice(first, last - first).to_pylist())


class _Names:
    """A sorted column as a sequence of text."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: int) -> str:
        return str(self._column[place].as_py())


def read_index(folder: Path) -> Index:
    """The index of a folder of shards, kept for the next time while it does not change.

    Raises:
        OSError: there is none, or it cannot be read.
        RSPNetError: it is damaged.
    """
    status = (folder / INDEX).stat()
    return _read_index(folder, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _read_index(folder: Path, _size: int, _version: int) -> Index:
    try:
        table = pq.read_table(io.BytesIO((folder / INDEX).read_bytes()))
        return Index(table.select(SCHEMA.names).cast(SCHEMA), lists_below(folder))
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise RSPNetError(f"index {str(folder / INDEX)!r} is damaged: pack the videos again ({error})") from error


class PackSystem:
    """A folder of shards as a file system, with the few methods of fsspec's that `core.storage` calls."""

    def _strip_protocol(self, url: str) -> str:
        return url

    def info(self, url: str) -> dict[str, Any]:
        """Kind, size and version of a packed video or folder."""
        folder, name, place = taken_apart(url)
        place = place or read_index(folder).place_of(name)
        if place is None:
            if name in read_index(folder).lists:
                status = (folder / name).stat()
                return {
                    "type": "file",
                    "size": status.st_size,
                    "mtime": status.st_mtime,
                    "ETag": str(status.st_mtime_ns),
                }
            if not read_index(folder).below(name):
                raise FileNotFoundError(errno.ENOENT, "no such packed video", url)
            return {"type": "directory", "size": 0}
        shard = (folder / place.shard).stat()
        if shard.st_size < place.offset + place.size:
            raise OSError(errno.EINVAL, f"shard {place.shard!r} is shorter than its index says", url)
        tag = f"{shard.st_size} {shard.st_mtime_ns} {place.offset}"
        return {"type": "file", "size": place.size, "mtime": shard.st_mtime, "ETag": tag}

    def cat_file(self, url: str, start: int, end: int) -> bytes:
        """Some bytes of a packed video."""
        folder, name, place = taken_apart(url)
        place = place or read_index(folder).place_of(name)
        if place is None:
            if name not in read_index(folder).lists:
                raise FileNotFoundError(errno.ENOENT, "no such packed video", url)
            place = Place(name, 0, end)
        start, end = place.offset + start, place.offset + end
        shard = folder / place.shard
        if isinstance(shard, UrlPath):
            return storage.fetch(shard.url, start, end)
        with shard.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def find(self, url: str) -> list[str]:
        """The URLs of all videos and lists below a folder."""
        folder, name, _ = taken_apart(url)
        return [f"{folder_url(folder)}/{one}" for one in read_index(folder).below(name)]

    def ls(self, url: str, *, detail: bool) -> list[str]:  # noqa: ARG002 - fsspec's signature
        """The URLs of what is directly in a folder."""
        folder, name, _ = taken_apart(url)
        start = f"{name}/" if name else ""
        first = dict.fromkeys(one.removeprefix(start).partition("/")[0] for one in read_index(folder).below(name))
        return [f"{folder_url(folder)}/{start}{one}" for one in first]


def is_packed(path: str) -> bool:
    """Whether a path is that of a video in shards."""
    return path.startswith(f"{SCHEME}://")


def shards_of(path: str) -> str:
    """What the paths of all videos of one folder of shards begin with, "" of any other video."""
    return path.partition("!")[0] if is_packed(path) else ""


def places_now(paths: Iterable[str]) -> dict[str, str]:
    """Whether videos are where their paths say: "here", "moved" (packed anew since), or "gone".

    A packed video is where the index of its shards says; bytes of earlier ones may still lie in the shards. Where an
    index cannot be read nothing is known, and its videos are "here".
    """
    found, indexes = dict[str, str](), dict[str, Index | str]()
    for path in paths:
        shards = shards_of(path)
        if not shards:
            found[path] = "here" if as_path(path).exists() else "gone"
            continue
        folder, name, place = taken_apart(path)
        if shards not in indexes:
            indexes[shards] = _index_or_state(folder)
        index = indexes[shards]
        if isinstance(index, str):
            found[path] = index
            continue
        now = index.place_of(name)
        found[path] = "gone" if now is None else "here" if place in (None, now) else "moved"
    return found


def _index_or_state(folder: Path) -> Index | str:
    """The index of a folder of shards, or what that says of its videos where there is none."""
    try:
        return read_index(folder)
    except FileNotFoundError:
        return "gone"
    except (OSError, RSPNetError):
        return "here"


def unpacked(folder: Path) -> Path:
    """A folder of shards as a folder of videos; any other folder as it is."""
    try:
        is_packed = (folder / INDEX).is_file()
    except OSError:
        is_packed = False
    return UrlPath(folder_url(folder)) if is_packed else folder


def packed(folder: Path) -> Iterator[tuple[str, str, int | None, str | None]]:
    """(name, URL, label, class name) of every packed video, in the order of their names."""
    index = read_index(folder)
    start, columns = folder_url(folder), ("name", "shard", "offset", "size", "label", "class_name")
    for batch in index.table.select(columns).to_batches(max_chunksize=10_000):
        for name, shard, offset, size, label, class_name in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            yield name, f"{start}/{name}@{shard}:{offset}:{size}", label, class_name
