"""A file whose decoder crashes or hangs costs that file, not the run, and the run stays what its seed says."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.crashing import CrashingEval, CrashingPairs
from helpers.videos import write_barcode_video

from rspnet.core.errors import RSPNetError
from rspnet.data import reading
from rspnet.data.annotations import read_folder
from rspnet.data.batches import PairBatch
from rspnet.data.cuts import ClipShape
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import make_loader
from rspnet.data.presets import PRESETS
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import SkipLog
from rspnet.data.video_clips import VideoClips, read_clips


def folder_with(root: Path, *deadly: str) -> Path:
    """Eight good videos and some that kill; those are sound files, only the planted reader falls over them."""
    for number in range(8):
        write_barcode_video(root / f"good{number}.mp4", 24, size=(64, 64))
    for name in deadly:
        (root / name).write_bytes((root / "good0.mp4").read_bytes())
    return root


def read(root: Path, kind: type[ClipPairDataset], *, num_workers: int, log: SkipLog | None = None) -> list[PairBatch]:
    data = kind(read_folder(root), num_frames=8, speeds=[2], size=32, preset=PRESETS["published"], seed=3)
    steps = PairSampler(len(data), batch_size=4, seed=3, speeds=[2], total_steps=8)
    return list(make_loader(data, steps, num_workers=num_workers, skip_log=log))


def as_bytes(batch: PairBatch) -> list[Any]:
    values = [getattr(batch, item.name) for item in dataclasses.fields(batch) if item.name != "skipped"]
    return [value.numpy().tobytes() if isinstance(value, torch.Tensor) else value for value in values]


def test_crashes_are_named_and_the_run_is_reproducible(tmp_path: Path) -> None:
    deadly = ("abort.mp4", "segv.mp4")
    folder_with(tmp_path, *deadly)
    runs = []
    for num_workers in (1, 2):
        log = SkipLog(tmp_path / f"skipped{num_workers}.csv", num_videos=10, max_share=0.5)
        runs.append(read(tmp_path, CrashingPairs, num_workers=num_workers, log=log))
        rows = dict(list(csv.reader(log.path.read_text().splitlines()))[1:])
        assert rows == {"abort.mp4": "the decoder crashed (SIGABRT)", "segv.mp4": "the decoder crashed (SIGSEGV)"}
    assert [as_bytes(batch) for batch in runs[0]] == [as_bytes(batch) for batch in runs[1]]
    # The same as if the deadly files were merely unreadable.
    for name in deadly:
        (tmp_path / name).write_bytes(b"no video")
    unreadable = read(tmp_path, ClipPairDataset, num_workers=0)
    assert [as_bytes(batch) for batch in runs[0]] == [as_bytes(batch) for batch in unreadable]


def test_a_hanging_decoder_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HANG_SECONDS", 1.0)
    log = SkipLog(tmp_path / "skipped.csv", num_videos=9, max_share=0.5)
    assert len(read(folder_with(tmp_path, "hang.mp4"), CrashingPairs, num_workers=1, log=log)) == 8
    assert log.state_dict() == {"hang.mp4": "the decoder hung"}


def test_a_process_killed_once_is_only_started_again(tmp_path: Path) -> None:
    killed = read(folder_with(tmp_path, "killed.mp4"), CrashingPairs, num_workers=2)
    assert (tmp_path / "killed.seen").exists()
    assert not any(batch.skipped for batch in killed)
    quiet = read(tmp_path, ClipPairDataset, num_workers=0)
    assert [as_bytes(batch) for batch in killed] == [as_bytes(batch) for batch in quiet]


def test_short_shared_memory_is_not_blamed_on_a_video(tmp_path: Path) -> None:
    with pytest.raises(RSPNetError, match="ran out while workers were reading"):
        read(folder_with(tmp_path, "bus.mp4"), CrashingPairs, num_workers=1)


def test_evaluation_goes_on_too(tmp_path: Path) -> None:
    records = read_folder(folder_with(tmp_path, "abort.mp4"))
    data = VideoClips(records, CrashingEval(ClipShape(8, 1, 32), num_clips=1))
    samples = {sample.record.name: sample for sample in read_clips(data, num_workers=2)}
    assert len(samples) == 9
    assert [(name, sample.skip.reason) for name, sample in samples.items() if sample.skip] == [
        ("abort.mp4", "the decoder crashed (SIGABRT)")
    ]
