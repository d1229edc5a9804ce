"""Feature vectors kept between runs, found again by what they were made from: weights, view, and the file's bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.files import atomic_path, write_json
from rspnet.core.urls import content_of

_SETTLED_SECONDS = 2.0


def default_cache_folder() -> Path:
    """`rspnet/features` in the user's cache folder (XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rspnet" / "features"


class FeatureCache:
    """One float32 vector per video, for one network and one view of the videos.

    A vector is found by the SHA-256 of the video: one that was moved or copied is a hit, one that was changed a miss.

    Args:
        folder: holds a subfolder for every (weights, view); may be shared by runs and processes.
        tensors_sha256: of the network: what `labelled_features.tensors_sha256` says.
        view: everything else that changes a vector, as plain values.
    """

    def __init__(self, folder: Path, *, tensors_sha256: str, view: Mapping[str, Any]) -> None:
        self._made_from = {"tensors_sha256": tensors_sha256, **view}
        self._contents = ContentNotes(folder / "contents.jsonl")
        self.folder = folder / _digest(json.dumps(self._made_from, sort_keys=True))

    def get(self, video: Path, *, name: str = "") -> NDArray[np.float32] | None:
        """The vector of a file (see `put`), or None where there is none, a damaged one, or one that is not finite."""
        if not self.folder.is_dir():  # nothing of this network and view: no need to read the video
            return None
        try:
            vector = np.load(self._place(video, name), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if not isinstance(vector, np.ndarray) or vector.dtype != np.float32 or vector.ndim != 1:
            return None
        return vector if np.isfinite(vector).all() else None

    def put(self, video: Path, vector: NDArray[np.float32], *, name: str = "") -> None:
        """Keep a video's vector.

        Args:
            video: the file; the vector is found again by its content.
            vector: float32 [C].
            name: and by this, where the vector depends on it.

        Raises:
            RSPNetError: the cache cannot be written.
        """
        if not (self.folder / "view.json").exists():
            write_json(self.folder / "view.json", self._made_from)
        with atomic_path(self._place(video, name)) as temporary, temporary.open("wb") as file:
            np.save(file, np.asarray(vector, np.float32), allow_pickle=False)

    def _place(self, video: Path, name: str) -> Path:
        """Raises OSError where the video is missing or no file."""
        content = self._contents.content(video)
        key = (_digest(f"{content} {name}") if name else content)[:32]
        return self.folder / key[:2] / f"{key}.npy"


class ContentNotes:
    """Content hashes of files, noted from one run to the next: a file is only read again where it has changed.

    Args:
        path: the notes, a line for each file: absolute path, size, time of change in ns, hash. Runs may share it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[int, int, str]] | None = None

    def content(self, file: Path) -> str:
        """The hash of a file's content (see `content_of`).

        Raises:
            OSError: there is no such file, or it is no regular one.
        """
        name, status = str(file.absolute()), file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if self._known is None:
            self._known = self._read()
        size, changed, content = self._known.get(name, (-1, 0, ""))
        if (size, changed) != (status.st_size, status.st_mtime_ns):
            content = content_of(file)
            self._known[name] = status.st_size, status.st_mtime_ns, content
            # A file that has just changed may change again without its time telling.
            if time() - status.st_mtime > _SETTLED_SECONDS:
                self._append([name, status.st_size, status.st_mtime_ns, content])
        return content

    def _append(self, row: list[str | int]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as notes:
                notes.write(json.dumps(row) + "\n")
        except OSError as error:
            raise RSPNetError(f"cannot write {str(self._path)!r}: {error.strerror or error}") from error

    def _read(self) -> dict[str, tuple[int, int, str]]:
        found = {}
        with suppress(OSError), self._path.open(encoding="utf-8", errors="replace") as notes:
            for line in notes:
                with suppress(ValueError, TypeError):  # a line that a stopped run was writing
                    name, size, changed, content = json.loads(line)
                    found[str(name)] = int(size), int(changed), str(content)
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
