"""The growth bench finds steps that grow faster than the number of videos, and the steps do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.extras import need

from rspnet.cli import main
from rspnet.core.errors import RSPNetError
from rspnet.lab.bench import bench_growth
from rspnet.lab.bench.bench_growth import StepCost, cost_of, exponent, judged
from rspnet.lab.bench.growth_steps import STEPS, GrowthPlace, make_place

need("lancedb", "sklearn")


def test_exponents_by_hand() -> None:
    assert exponent(2.0, 20.0, ratio=10, floor=0.1) == pytest.approx(1)
    assert exponent(2.0, 200.0, ratio=10, floor=0.1) == pytest.approx(2)
    assert exponent(3.0, 24.0, ratio=4, floor=0.1) == pytest.approx(1.5)
    assert exponent(0.001, 0.09, ratio=4, floor=0.1) == 0
    assert exponent(0.001, 0.4, ratio=4, floor=0.1) == pytest.approx(1)


def test_a_step_fails_by_its_growth_to_the_largest_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        "fine": {1000: StepCost(1, 1, 100), 10_000: StepCost(30, 1, 100), 100_000: StepCost(300, 1, 1000)},
        "slow": {1000: StepCost(1, 1, 100), 10_000: StepCost(10, 1, 100), 100_000: StepCost(1000, 1, 100)},
        "large": {1000: StepCost(1, 1, 100), 10_000: StepCost(10, 1, 100), 100_000: StepCost(100, 1, 3000)},
    }
    result = judged(found)
    assert result["failed"] == [
        "slow: CPU seconds grow as N^2.00 from 10000 to 100000 videos",
        "large: memory grows as N^1.48 from 10000 to 100000 videos",
    ]
    assert [row["CPU ~ N^"] for row in result["rows"]] == ["", "1.48", "1.00", "", "1.00", "2.00", "", "1.00", "1.00"]
    monkeypatch.setattr(bench_growth, "bench_growth", lambda sizes: {"rows": [], "failed": result["failed"][:1]})
    assert main(["bench", "growth"]) == 1
    assert "slow: CPU seconds grow" in capsys.readouterr().err
    monkeypatch.setattr(bench_growth, "bench_growth", lambda sizes: {"rows": [], "failed": []})
    assert main(["bench", "growth", "--growth_videos=[100,200]"]) == 0
    assert main(["bench", "growth", "--growth_videos=[100]"]) == 2


def test_no_step_grows_faster_than_the_number_of_videos(tmp_path: Path) -> None:
    found: dict[str, dict[int, StepCost]] = {name: {} for name in STEPS}
    for count in (60, 240):
        place = make_place(tmp_path, count)
        for name, step in STEPS.items():
            found[name][count] = cost_of(step, place)
    assert judged(found)["failed"] == []
    assert found["embed"][240].cpu_s > found["embed again"][240].cpu_s


def test_a_step_that_fails_is_named(tmp_path: Path) -> None:
    place = GrowthPlace(tmp_path / "model.ckpt", tmp_path, 100)
    with pytest.raises(RSPNetError, match=r"listing with 100 videos: RSPNetError: .* does not exist"):
        bench_growth._in_fresh_process("listing", STEPS["listing"], place)
