"""Files of arrays (.npz), without what NumPy says of a file that is none: it advises to unpickle it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a file, or those of some names.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, no .npz file, has no array of a name, or holds Python objects, which are never read.
    """
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as content:
                held = list(content.files)
                wanted = held if names is None else list(names)
                found = {name: content[name] for name in wanted if name in held}
        except (MemoryError, OSError):
            raise
        except Exception as error:  # a damaged file can make zipfile, zlib and NumPy raise nearly anything
            holds_objects = str(error).startswith("Object arrays")
            why = "it holds Python objects, which are never read" if holds_objects else "damaged, or no .npz file"
            raise ValueError(why) from error
    for name in wanted:
        if name not in found:
            raise ValueError(f"it has no array {name!r}")
    return found
