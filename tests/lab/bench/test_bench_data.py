"""The data benchmark compares two routes to the same clips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.videos import write_barcode_video

from rspnet.core.errors import RSPNetError
from rspnet.lab.bench.bench_data import _draw, augment_sample, bench_data, plain_sample, read_sample


@pytest.mark.parametrize("name", ["scene.mp4", "scene.webm"])
def test_both_routes_show_the_same_frames(tmp_path: Path, name: str) -> None:
    codec = "libx264" if name.endswith("mp4") else "libvpx-vp9"
    path = write_barcode_video(tmp_path / name, 50, codec=codec, gop=16)
    for repeat in range(2):
        draw = _draw(name, repeat, 50, 240, 320)
        ours = augment_sample(read_sample(path, draw))
        for plain, clip in zip(plain_sample(path, draw), ours, strict=True):
            difference = (plain - clip[0]).abs()
            assert plain.shape == clip[0].shape == (3, 16, 112, 112)
            # Ours resizes with antialiasing, the published route without: alike, not equal, frame by frame.
            for frame in range(16):
                assert difference[:, frame].mean() < 0.25
                assert difference[:, frame].mean() < (plain[:, frame] - clip[0][:, (frame + 3) % 16]).abs().mean()


def test_rows(tmp_path: Path) -> None:
    path = write_barcode_video(tmp_path / "a.mp4", 40)
    rows = json.loads(json.dumps(bench_data(paths=[path], repeats=1)))["rows"]
    assert [row["name"] for row in rows] == ["a.mp4"]
    assert rows[0]["plain_ms"] > 0 < rows[0]["ours_ms"]
    with pytest.raises(RSPNetError, match="needs more than 32"):
        bench_data(paths=[write_barcode_video(tmp_path / "b.mp4", 20)], repeats=1)
