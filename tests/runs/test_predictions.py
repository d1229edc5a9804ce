"""Columns on disk: names that are no UTF-8 do not end a command that has done all its work."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from rspnet.runs.predictions import save_columns


def test_names_that_are_not_utf8_are_spelled_out(tmp_path: Path) -> None:
    raw = os.fsdecode(b"caf\xe9.mp4")
    path = tmp_path / "predictions.parquet"
    columns = {"name": np.array([raw, "café.mp4"]), "best": np.array([[raw, "b"], ["c", "d"]]), "n": np.arange(2)}
    save_columns(path, columns)
    rows = pq.read_table(path).to_pydict()
    assert rows["name"] == [r"caf\udce9.mp4", "café.mp4"]
    assert rows["best"] == [[r"caf\udce9.mp4", "b"], ["c", "d"]]
    assert rows["n"] == [0, 1]
