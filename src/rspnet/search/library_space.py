"""How a library compares its windows: by whitened vectors of motion and of appearance, fitted to the windows it has."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rspnet.features.read import matrix
from rspnet.features.whitening import FEWEST, Whitening, fit_whitening
from rspnet.search.library_tables import About, Vectors, joined, vector_column

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 5000
"""Windows that a fit looks at, drawn by their content; of a larger library a fit holds until it has doubled."""
_KEY = ("content", "window")


@dataclass(frozen=True)
class LibrarySpace:
    """The two fitted maps.

    Attributes:
        motion: of the features that stand behind the vector of motion.
        appearance: of the vector of appearance.
        windows: that the library had.
        name: of the windows that were looked at: other windows, another name.
    """

    motion: Whitening
    appearance: Whitening
    windows: int
    name: str

    def vectors(self, features: Vectors, appearance: Vectors, about: About) -> tuple[Vectors, Vectors]:
        """Unit vectors [n, M], [n, A] of windows; behind directions that there were too few windows for come zeros."""
        found = self.motion(features), self.appearance(appearance)
        lengths = about.motion, about.appearance
        padded = [
            np.pad(part, ((0, 0), (0, length - part.shape[1]))) for part, length in zip(found, lengths, strict=True)
        ]
        return padded[0], padded[1]

    def as_bytes(self) -> bytes:
        """For a table; `from_bytes` reads them."""
        parts = {
            f"{kind}_{name}": getattr(getattr(self, kind), name).astype(np.float32)
            for kind in ("motion", "appearance")
            for name in ("middle", "axes")
        }
        target = io.BytesIO()
        np.savez(target, **parts, windows=np.array(self.windows))
        return target.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> LibrarySpace:
        """What `as_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            maps = [
                Whitening(*(found[f"{kind}_{part}"].astype(np.float64) for part in ("middle", "axes")))
                for kind in ("motion", "appearance")
            ]
            return cls(maps[0], maps[1], int(found["windows"]), name)


def due_space(clips: Any, about: About, known: LibrarySpace | None) -> LibrarySpace | None:
    """The maps that a library's table of windows should have in the place of those known; None where they may stay.

    Up to `MOST` windows all of them count, so the maps say nothing of the order in which windows came.
    """
    count = int(clips.count_rows())
    if count < FEWEST or (known is not None and MOST < count < 2 * known.windows):
        return None
    keys = np.concatenate([_keys(batch) for batch in clips.search().select(list(_KEY)).to_batches()])
    last = np.partition(keys, MOST - 1)[MOST - 1] if len(keys) > MOST else keys.max()
    name = sha256(np.sort(keys[keys <= last]).tobytes()).hexdigest()
    if known is not None and known.name == name:
        return None
    found: list[tuple[NDArray[np.uint64], Vectors, Vectors]] = []
    for batch in clips.search().select([*_KEY, "features", "appearance"]).to_batches():
        own = _keys(batch)
        kept = own <= last
        found.append((own[kept], matrix(batch, "features")[kept], matrix(batch, "appearance")[kept]))
    own, features, appearance = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(own, kind="stable")
    motion, looks = (
        fit_whitening(part[order], longest=length)
        for part, length in ((features, about.motion), (appearance, about.appearance))
    )
    is_flat = not (motion.axes.shape[1] and looks.axes.shape[1])  # all windows are the same
    if is_flat:
        return None
    return LibrarySpace.from_bytes(LibrarySpace(motion, looks, count, name).as_bytes(), name)  # rounded, as it is kept


def _keys(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """A number for every window, by its file's content and its place there."""
    rows = zip(batch["content"].to_pylist(), batch["window"].to_pylist(), strict=True)
    digests = b"".join(blake2b(f"{content} {window}".encode(), digest_size=8).digest() for content, window in rows)
    return np.frombuffer(digests, "<u8")


def compared_anew(clips: Any, about: About, space: LibrarySpace, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a table of windows with the vectors that they are compared by made by other maps."""
    import pyarrow as pa

    for batch in clips.search().select(schema.names).to_batches():
        spaces = space.vectors(matrix(batch, "features"), matrix(batch, "appearance"), about)
        made = {"vector": vector_column([joined(*spaces)], about.motion + about.appearance)}
        yield pa.RecordBatch.from_arrays([made.get(name, batch[name]) for name in schema.names], schema=schema)
