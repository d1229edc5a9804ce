"""Columns on disk: names that are no UTF-8 do not end a command that has done all its work."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rspnet.core.errors import RSPNetError
from rspnet.runs.predictions import read_predictions, save_columns


def test_names_that_are_not_utf8_are_spelled_out(tmp_path: Path) -> None:
    raw = os.fsdecode(b"caf\xe9.mp4")
    path = tmp_path / "predictions.parquet"
    columns = {"name": np.array([raw, "café.mp4"]), "best": np.array([[raw, "b"], ["c", "d"]]), "n": np.arange(2)}
    save_columns(path, columns)
    rows = pq.read_table(path).to_pydict()
    assert rows["name"] == [r"caf\udce9.mp4", "café.mp4"]
    assert rows["best"] == [[r"caf\udce9.mp4", "b"], ["c", "d"]]
    assert rows["n"] == [0, 1]


def test_a_file_of_earlier_versions_that_is_none_is_named_without_numpys_advice(tmp_path: Path) -> None:
    file = tmp_path / "predictions.npz"
    np.savez(file, name=np.array(["a"]), top1=np.ones(1))
    assert read_predictions(file, ["top1"])["top1"].tolist() == [1]
    with pytest.raises(RSPNetError, match=r"cannot read top5 of predictions .*: it has no array 'top5'$"):
        read_predictions(file, ["top5"])
    file.write_text("name,top1\n")
    with pytest.raises(RSPNetError, match=r"cannot read top1 of predictions .*: damaged, or no \.npz file$"):
        read_predictions(file, ["top1"])
