"""Videos that several tests of the reader share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.packed import PACKED, write_packed_video
from helpers.videos import FILES, FRAMES, decode_plainly, write_barcode_video


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[np.ndarray]]]:
    """Name in FILES or PACKED -> the file, written once, and all its pictures."""
    folder = tmp_path_factory.mktemp("videos")
    made: dict[str, tuple[Path, list[np.ndarray]]] = {}

    def get(name: str) -> tuple[Path, list[np.ndarray]]:
        if name not in made:
            if name in PACKED:
                path = write_packed_video(folder / name, FRAMES, **PACKED[name])
            else:
                path = write_barcode_video(folder / name, FRAMES, **FILES[name])
            made[name] = path, decode_plainly(path)
        return made[name]

    return get
