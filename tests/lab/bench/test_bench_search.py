from __future__ import annotations

from helpers.extras import need

from rspnet.lab.bench.bench_search import bench_search
from rspnet.search import library_store

need("lancedb")


def test_an_indexed_library_finds_what_an_exact_search_finds(monkeypatch):
    monkeypatch.setattr(library_store, "ANN_FROM_CLIPS", 3000)
    result = bench_search(num_clips=4000, queries=10, added_videos=20, backbone="r3d_10_slim")
    assert result["clips"] == 4000
    assert [row["alpha"] for row in result["rows"]] == [0.0, 0.5, 1.0]
    for row in result["rows"]:
        assert row["recall_at_10"] >= 0.9
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    for place in ("", "folder_of_100_", "folder_of_2000_"):
        assert 0 < result[f"clients_{place}p50_ms"] <= result[f"clients_{place}p99_ms"]
    assert result["added_videos"] == 20
    assert result["old_data_files"] > 0
    assert result["old_data_files_rewritten"] == 0
    assert result["file_to_hits_s"] > 0
