"""The benches of scaling and of checkpoints give sound figures."""

from __future__ import annotations

import pytest
from helpers.fresh import start_processes
from helpers.narrow import NARROW

from rspnet.lab.bench import bench_scaling as module
from rspnet.lab.bench.bench_checkpoint import bench_checkpoint
from rspnet.lab.bench.bench_scaling import LAYOUTS, bench_scaling


def test_every_layout_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.mp, "spawn", start_processes)
    results = bench_scaling(backbone=NARROW, batch_size=4, num_frames=4, size=32, repeats=1)
    assert [row["layout"] for row in results["rows"]] == [layout.name for layout in LAYOUTS]
    for row in results["rows"]:
        assert row["clips/s"] == pytest.approx(4 / row["seconds a step"])
    assert results["rows"][0]["of 1 process"] == 1
    assert 0 <= results["communication_share"] < 1
    assert results["gradient_megabytes"] == pytest.approx(1, abs=0.1)


def test_a_checkpoint_is_timed() -> None:
    results = bench_checkpoint(backbone="r3d_10_slim", batch_size=2, num_frames=4, size=32, repeats=1)
    times = [value for name, value in results.items() if "seconds" in name and "cost" not in name]
    assert len(times) == 4
    assert min(times) > 0
    # query and key encoder, momentum, queue
    assert results["megabytes"] == pytest.approx(3 * 15 + 16384 * 128 * 4 / 1e6, rel=0.05)
