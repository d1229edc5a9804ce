"""What a run tells of its videos when it starts: right where it looked, and never long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from helpers.crashing import CrashingLook
from helpers.videos import write_barcode_video

from rspnet.core.errors import DecodeError
from rspnet.data import reading
from rspnet.data.annotations import read_folder
from rspnet.data.checks.survey import Look, survey

SIZE = (64, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mixed")
    for number in range(3):
        write_barcode_video(root / f"good{number}.mp4", 20, size=SIZE)
    write_barcode_video(root / "short.mp4", 15, size=SIZE)
    write_barcode_video(root / "vfr.mp4", 20, size=SIZE, times=[index + 4 * (index // 5) for index in range(20)])
    (root / "empty.mp4").touch()
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_all_are_looked_at_where_time_allows(folder: Path, workers: int) -> None:
    found = survey(read_folder(folder), Look(window=16, fps=None), seed=0, workers=workers, max_seconds=60)
    assert (found.looked_at, found.total) == (6, 6)
    assert {skip.name: skip.reason.split(":")[0].split(" in any")[0] for skip in found.unusable} == {
        "short.mp4": "too short",
        "vfr.mp4": "timestamps are not evenly spaced",
        "empty.mp4": "the file is empty",
    }
    assert found.share == 0.5


def test_resampling_is_taken_into_account(folder: Path) -> None:
    found = survey(read_folder(folder), Look(window=3, fps=5.0), seed=0, workers=0, max_seconds=60)
    assert {skip.name for skip in found.unusable} == {"empty.mp4", "vfr.mp4"}  # not short.mp4


def test_time_is_bounded_and_the_order_is_the_seeds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def slow(path: str) -> object:
        opened.append(Path(path).name)
        time.sleep(0.05)
        raise DecodeError(path, "slow")

    monkeypatch.setattr(reading, "open_video", slow)
    for seed, seconds in ((1, 0.12), (1, 0.0), (2, 60)):
        found = survey(read_folder(folder), Look(window=16, fps=None), seed=seed, workers=0, max_seconds=seconds)
        assert found.looked_at == len(found.unusable) == len(opened)
        assert found.seconds < 60
        if seed == 1:
            assert 1 <= len(opened) <= 5
            first = opened[0]
        opened.clear()
    found = survey(read_folder(folder), Look(window=16, fps=None), seed=1, workers=0, max_seconds=60)
    assert opened[0] == first
    assert sorted(opened) == [record.name for record in read_folder(folder)]


def test_a_crash_is_a_reason_and_slowness_is_none(tmp_path: Path) -> None:
    for name in ("good.mp4", "abort.mp4", "hang.mp4"):
        write_barcode_video(tmp_path / name, 20, size=SIZE)
    found = survey(read_folder(tmp_path), CrashingLook(window=16, fps=None), seed=0, workers=2, max_seconds=3.0)
    assert [(skip.name, skip.reason) for skip in found.unusable] == [("abort.mp4", "the decoder crashed (SIGABRT)")]
    assert (found.looked_at, found.total) == (2, 3)
