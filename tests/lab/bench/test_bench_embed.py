"""The embedding bench compares two routes to the same features."""

from pathlib import Path

import pytest
from helpers.narrow import NARROW
from helpers.videos import write_barcode_video

from rspnet.core.errors import RSPNetError
from rspnet.lab.bench.bench_embed import bench_embed


def test_both_routes_give_like_features(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    paths = [
        write_barcode_video(tmp_path / folder / f"{n}.mp4", 40 + n, gop=16) for n, folder in enumerate(("a", "b", "b"))
    ]
    result = bench_embed(backbone=NARROW, paths=paths)
    assert [row["name"] for row in result["rows"]] == ["0.mp4", "1.mp4", "2.mp4"]
    assert min(row["cos"] for row in result["rows"]) > 0.98  # ours resizes with antialiasing, in bf16
    assert result["speedup"] == pytest.approx(result["ours_videos_per_s"] / result["plain_videos_per_s"])
    assert 0 <= result["plain_recall_at_1"] <= 1
    with pytest.raises(RSPNetError, match="at least 2 videos"):
        bench_embed(backbone=NARROW, paths=paths[:1])
