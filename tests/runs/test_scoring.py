"""What a test of a classifier recommends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rspnet.runs.scoring import _name_of


@pytest.mark.parametrize(
    ("tested", "named"),
    [
        ("run/best.ckpt", "run"),  # which the run reports
        ("run/step-2.ckpt", "run/step-2.ckpt"),
        ("export/model.safetensors", "export"),
        ("moved/best.ckpt", "moved/best.ckpt"),
    ],
)
def test_the_weights_that_were_tested_are_named_by_their_folder_only_where_it_means_them(
    tested: str, named: str, tmp_path: Path
) -> None:
    for file in (tested, "run/best.ckpt", "export/model.json"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("")
    (tmp_path / "run/result.json").write_text(json.dumps({"results": {"checkpoint": "best.ckpt"}}))
    assert _name_of(tmp_path / tested) == tmp_path / named
