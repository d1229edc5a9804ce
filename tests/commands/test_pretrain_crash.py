"""A whole pre-training with a file that crashes and one that hangs: both are named, and the run is reproducible."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from helpers.clips_on_disk import TINY, write_videos
from helpers.crashing import CrashingPairs

from rspnet.cli import main
from rspnet.core.run_files import LAST
from rspnet.data import reading
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.runs import pretraining_data


def test_the_run_goes_on_and_ends_in_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = write_videos(tmp_path / "videos", count=6)
    sound = next(videos.rglob("*.mp4"))
    for name in ("abort.mp4", "hang.mp4"):
        (videos / name).write_bytes(sound.read_bytes())
    monkeypatch.setattr(reading, "HANG_SECONDS", 3.0)
    monkeypatch.setattr(pretraining_data, "ClipPairDataset", CrashingPairs)
    weights = []
    for workers in (1, 2):
        out = tmp_path / f"run{workers}"
        arguments = [*TINY, f"--data.root={videos}", f"--out={out}", "--max_steps=4", "--data.max_skipped=0.5"]
        assert main(["pretrain", *arguments, f"--data.num_workers={workers}"]) == 0
        rows = dict(list(csv.reader((out / "skipped.csv").read_text().splitlines()))[1:])
        assert rows == {"abort.mp4": "the decoder crashed (SIGABRT)", "hang.mp4": "the decoder hung"}
        weights.append(load_checkpoint(out / LAST)["model"])
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())
