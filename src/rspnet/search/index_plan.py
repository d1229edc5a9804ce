"""What a run of `rspnet index` has to do: which files are new, changed, unchanged or gone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rspnet.core.files import is_utf8, real_paths
from rspnet.core.packs import is_packed
from rspnet.core.urls import as_path, is_url
from rspnet.search.library_store import Store
from rspnet.search.library_tables import FileRow


@dataclass(frozen=True)
class Stored:
    """What a library has of a file that is to be read.

    Attributes:
        content: the file's SHA-256 when it was read.
        windows: those that a stopped run stored; None for a file that was done.
    """

    content: str
    windows: frozenset[int] | None = None


@dataclass(frozen=True)
class IndexPlan:
    """What a run has to do.

    Attributes:
        todo: rows of the files to read, by path, as far as they are known before.
        old: rows that the library has of these files.
        stored: see `LibraryClips`.
        bad: files whose names a library cannot hold, and files that could not be read and are as they were.
        unchanged: number of other files that are as they were.
        removed: number of files that are gone.
    """

    todo: dict[str, FileRow]
    old: dict[str, FileRow]
    stored: dict[str, Stored]
    bad: list[FileRow]
    unchanged: int
    removed: int


def prepare(store: Store, paths: Sequence[str], folder: Path) -> IndexPlan:
    """Remove what is gone, and say which videos are to be read. Costs grow with the number of files.

    A file is one however its folder is spelled, and a link to a file of the library is that file.
    """
    known = store.files()
    there = dict(zip(real_paths(paths), paths, strict=True))
    below = (str(folder) if is_url(str(folder)) else os.path.realpath(folder)).rstrip("/") + "/"
    called: dict[str, str] = {}  # real path -> what the library calls the file
    gone = []
    for path, real in zip(known, real_paths(known), strict=True):
        if called.setdefault(real, path) != path or (real.startswith(below) and real not in there):
            gone.append(path)
    todo: dict[str, FileRow] = {}
    bad, unchanged = list[FileRow](), 0
    for real, spelled in there.items():
        path = called.get(real, spelled)
        if path in known and known[path].is_unchanged():
            if known[path].reason:
                bad.append(known[path])
            else:
                unchanged += 1
            continue
        row = file_row(path)
        if row is None and is_packed(real):  # its windows stay, until it is packed anew
            bad.append(FileRow(path, "", 0, 0, 0.0, 0, "its shard is not there"))
        elif row is None:
            gone += [path] if path in known else []
            if not is_url(spelled) and Path(spelled).is_symlink():
                bad.append(FileRow(spelled, "", 0, 0, 0.0, 0, "it is a link to a file that is not there"))
        elif not is_utf8(path):
            bad.append(replace(row, reason="its name is not valid UTF-8"))
        else:
            todo[path] = row
    old = {path: known[path] for path in todo if path in known}
    stored = {path: Stored(row.content) for path, row in old.items() if row.content}
    unfinished = store.unfinished(known)
    store.remove([*gone, *(path for path in unfinished if path not in todo)])
    stored |= {path: Stored(*found) for path, found in unfinished.items() if path in todo}
    return IndexPlan(todo, old, stored, bad, unchanged, len(gone))


def file_row(path: str) -> FileRow | None:
    """What is known of a file before it is read as a video; None if it has just gone."""
    try:
        status = as_path(path).stat()
    except FileNotFoundError:
        return None
    except OSError:  # reading it will say why
        return FileRow(path, "", 0, 0, 0.0, 0, "")
    return FileRow(path, "", status.st_size, status.st_mtime_ns, 0.0, 0, "")
