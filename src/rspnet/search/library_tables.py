"""The rows of a library's tables as values of Python, and as the Arrow tables that LanceDB stores."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.urls import as_path
from rspnet.features.windows import ClipSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from rspnet.search.library_space import LibrarySpace

_NAMES_AT_ONCE = 500
_NAMED_VIDEOS = 1000
"""A filter names so many videos at most; a longer text would take longer to read than the search does."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class About:
    """What made a library.

    Attributes:
        model: the checkpoint's path when the library was made.
        weights_sha256: of that file.
        precision: of the computation.
        motion: length of a window's vector of motion.
        appearance: length of that of appearance.
        features: length of that of the backbone's features.
        clip: how videos are cut.
        whitened: whether windows are compared by whitened vectors (`rspnet.search.library_space`): of a network with
            two streams, where `features` is what stands behind the vector of motion.
        plugins_sha256: of the code from outside this package that defines the network; "" of our own, or not known.
    """

    model: str
    weights_sha256: str
    precision: str
    motion: int
    appearance: int
    features: int
    clip: ClipSettings
    whitened: bool = False
    plugins_sha256: str = ""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A video of the library; `reason` says why it (or a part of it) could not be read, and is empty otherwise."""

    path: str
    content: str
    bytes: int
    mtime_ns: int
    duration_s: float
    clips: int
    reason: str

    def is_unchanged(self) -> bool:
        """Whether the file is there as it was, by size and time of change (of what a link points to)."""
        try:
            status = as_path(self.path).stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.bytes, self.mtime_ns)


@dataclass(frozen=True)
class ClipRows:
    """The windows of one video: numbers, times and vectors of equal length.

    Motion and appearance are those of the network when a library is written, and as it compares them when it is read.
    """

    path: str
    content: str
    fps: float
    width: int
    height: int
    window: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    motion: Vectors
    appearance: Vectors
    features: Vectors


def joined(motion: Vectors, appearance: Vectors, *, alpha: float | None = None) -> Vectors:
    """Motion and appearance vectors [n, M], [n, A] as one [n, M + A]; alpha is a query's: dot products are then scores.

    (alpha m_q, (1 - alpha) a_q) . (m, a) = alpha cos_m + (1 - alpha) cos_a for unit vectors.
    """
    shares = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    return np.concatenate([shares[0] * motion, shares[1] * appearance], axis=1).astype(np.float32)


def conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    """SQL that names some values, a few hundred at a time."""
    for start in range(0, len(values), _NAMES_AT_ONCE):
        quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values[start : start + _NAMES_AT_ONCE])
        yield f"{column} IN ({quoted})"


def narrowed(paths: Collection[str]) -> str:
    """SQL that holds for some videos, and few others."""
    if len(paths) <= _NAMED_VIDEOS:
        return f"({' OR '.join(conditions('path', sorted(paths)))})" if paths else "false"
    first, last = (path.replace("'", "''") for path in (min(paths), max(paths)))
    return f"path >= '{first}' AND path <= '{last}'"


def file_table(files: Sequence[FileRow]) -> pa.Table:
    """The table of files."""
    import pyarrow as pa

    types: Mapping[str, Any] = {
        "path": pa.string(),
        "content": pa.string(),
        "bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "duration_s": pa.float64(),
        "clips": pa.int64(),
        "reason": pa.string(),
    }
    return pa.Table.from_pylist([asdict(file) for file in files], schema=pa.schema(list(types.items())))


def vector_column(parts: Sequence[Vectors], width: int) -> pa.Array:
    """Vectors [n, width], one part below the other, as a column."""
    import pyarrow as pa

    flat = np.concatenate([np.zeros((0, width), np.float32), *parts]).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), width)


def clip_table(clips: Sequence[ClipRows], about: About, *, space: LibrarySpace | None = None) -> pa.Table:
    """The table of windows; what a window is compared by is one vector [M + A], of motion and of appearance.

    Args:
        clips: the windows.
        about: the library.
        space: its maps; None compares the vectors as they are.
    """
    import pyarrow as pa

    def repeated(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([getattr(video, name) for video in clips for _ in video.window], kind)

    def joined_up(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([value for video in clips for value in getattr(video, name).tolist()], kind)

    spaces = [
        (video.motion, video.appearance) if space is None else space.vectors(video.features, video.appearance, about)
        for video in clips
    ]
    columns = {
        "path": repeated("path", pa.string()),
        "content": repeated("content", pa.string()),
        "window": joined_up("window", pa.int64()),
        "start_s": joined_up("start_s", pa.float64()),
        "end_s": joined_up("end_s", pa.float64()),
        "fps": repeated("fps", pa.float64()),
        "width": repeated("width", pa.int64()),
        "height": repeated("height", pa.int64()),
        "vector": vector_column([joined(*own) for own in spaces], about.motion + about.appearance),
        "features": vector_column([video.features for video in clips], about.features),
        "model": pa.array([about.weights_sha256] * sum(len(video.window) for video in clips), pa.string()),
    }
    if about.whitened:
        columns["appearance"] = vector_column([video.appearance for video in clips], about.appearance)
    return pa.table(columns)


def space_table(*rows: tuple[str, bytes]) -> pa.Table:
    """Maps by name."""
    import pyarrow as pa

    names, maps = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"name": pa.array(names, pa.string()), "maps": pa.array(maps, pa.large_binary())})
