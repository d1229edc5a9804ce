from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.videos import read_barcode, write_barcode_video

from rspnet.core.errors import ConfigError, RSPNetError, TooManySkippedError
from rspnet.data import reading
from rspnet.data.annotations import read_folder
from rspnet.data.augment import JITTER_SIZE
from rspnet.data.batches import PairBatch, make_views
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.datasets import ClipPairDataset, NoSample, PairSample
from rspnet.data.loader import make_loader
from rspnet.data.presets import PRESETS, AugmentPreset
from rspnet.data.sampler import PairRequest, PairSampler
from rspnet.data.skipped import Skip, SkipLog
from rspnet.data.video_clips import VideoClips, read_clips

SIZE = 64
# The whole picture, untouched: barcodes stay readable.
UNTOUCHED = AugmentPreset(crop_area=(1, 1), crop_aspect=(1, 1), flip_p=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six good videos, a garbage one, a short one and one with a gap every fifth frame."""
    root = tmp_path_factory.mktemp("videos")
    for number, (ending, codec) in enumerate([("mp4", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx")] * 2):
        write_barcode_video(root / f"good{number}.{ending}", 40 + number, size=(SIZE, SIZE), codec=codec)
    (root / "garbage.mp4").write_bytes(bytes(range(256)) * 20)
    write_barcode_video(root / "short.mp4", 15, size=(SIZE, SIZE))
    times = [index + index // 5 for index in range(60)]
    write_barcode_video(root / "gaps.mp4", 60, size=(SIZE, SIZE), times=times)
    return root


def dataset(root: Path, **changes: Any) -> ClipPairDataset:
    settings = {"num_frames": 8, "speeds": [2], "size": 32, "preset": PRESETS["aug_plus"], "seed": 5, **changes}
    return ClipPairDataset(read_folder(root), **settings)


def sampler(data: ClipPairDataset, **changes: Any) -> PairSampler:
    return PairSampler(len(data), **{"batch_size": 4, "seed": 5, "speeds": [2], "total_steps": 5, **changes})


def as_bytes(batch: PairBatch) -> list[object]:
    values = [getattr(batch, field.name) for field in dataclasses.fields(batch)]
    return [value.numpy().tobytes() if isinstance(value, torch.Tensor) else value for value in values]


@pytest.fixture(scope="module")
def batches(folder: Path) -> list[PairBatch]:
    data = dataset(folder)
    return list(make_loader(data, sampler(data), num_workers=0))


def test_batches_have_the_promised_shapes(batches: list[PairBatch]) -> None:
    batch = batches[0]
    assert len(batch) == 4
    assert (batch.query.shape, batch.query.dtype) == ((4, 8, 32, 32, 3), torch.uint8)
    assert (batch.key.shape, batch.key.dtype) == ((4, 12, 32, 32, 3), torch.uint8)
    assert batch.key_same.shape == batch.key_other.shape == (4, 8)
    assert batch.query_jitter.shape == batch.key_jitter.shape == (4, JITTER_SIZE)
    assert batch.query_seed.dtype == batch.key_seed.dtype == batch.index.dtype == torch.int64
    assert not torch.equal(batch.query_jitter, batch.key_jitter)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(folder: Path, batches: list[PairBatch], num_workers: int) -> None:
    data = dataset(folder)
    read = list(make_loader(data, sampler(data), num_workers=num_workers))
    assert [as_bytes(batch) for batch in read] == [as_bytes(batch) for batch in batches]


@pytest.mark.parametrize("start", [1, 3, 5])
def test_a_resume_goes_on_with_the_same_batches(folder: Path, batches: list[PairBatch], start: int) -> None:
    data = dataset(folder)
    rest = make_loader(data, sampler(data, start_step=start), num_workers=0)
    assert [as_bytes(batch) for batch in rest] == [as_bytes(batch) for batch in batches[start:]]


def test_ranks_together_give_the_one_batch(folder: Path, batches: list[PairBatch]) -> None:
    data = dataset(folder)
    ranks = [list(make_loader(data, sampler(data, rank=r, world_size=2), num_workers=0)) for r in range(2)]
    for whole, *parts in zip(batches, *ranks, strict=True):
        for name in ("query", "key", "key_same", "query_jitter", "key_seed", "index"):
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name


def test_bad_videos_are_named_and_replaced(folder: Path, batches: list[PairBatch]) -> None:
    reasons = {skip.name: skip.reason for batch in batches for skip in batch.skipped}
    assert set(reasons) == {"garbage.mp4", "short.mp4", "gaps.mp4"}
    assert reasons["short.mp4"] == "too short: 15 frames, a window needs 16"
    assert "not evenly spaced" in reasons["gaps.mp4"]
    names = [record.name for record in read_folder(folder)]
    assert all(names[index].startswith("good") for batch in batches for index in batch.index.tolist())


def test_speeds_are_what_the_labels_say(folder: Path) -> None:
    data = dataset(folder, speeds=[2, 3], size=SIZE, preset=UNTOUCHED)
    seen = set()
    for index, (speed, other) in enumerate([(1, 2), (2, 1), (3, 1), (1, 3), (2, 1), (1, 3)]):
        sample = data[PairRequest(index + 2, 0, speed, other)]
        assert isinstance(sample, PairSample)
        query = np.array([read_barcode(frame) for frame in sample.query.numpy()])
        key = np.array([read_barcode(frame) for frame in sample.key.numpy()])
        assert (np.diff(query) == speed).all()
        assert (np.diff(key[sample.key_same]) == speed).all()
        assert (np.diff(key[sample.key_other]) == other).all()
        assert key[sample.key_same][0] == key[sample.key_other][0]
        assert set(key) == set(key[sample.key_same]) | set(key[sample.key_other])
        seen.add((int(query[0]), int(key[0])))
    assert len(seen) > 3
    assert any(query != key for query, key in seen)


def test_resampling_by_time_gives_true_speeds(tmp_path: Path) -> None:
    write_barcode_video(tmp_path / "fast.mp4", 120, fps=60, size=(SIZE, SIZE))
    write_barcode_video(tmp_path / "vfr.mkv", 40, fps=60, size=(SIZE, SIZE), times=np.cumsum([4, 5] * 20).tolist())
    data = dataset(tmp_path, fps=15, size=SIZE, preset=UNTOUCHED, num_frames=6)
    for index in range(2):
        sample = data[PairRequest(index, 0, 2, 1)]
        assert isinstance(sample, PairSample)
        assert sample.skipped == ()
        query = [read_barcode(frame) for frame in sample.query.numpy()]
        assert set(np.diff(query)) <= ({8} if index == 0 else {1, 2}), query


def test_the_window_differs_by_epoch_repeat_and_seed(folder: Path) -> None:
    requests = [PairRequest(3, 0, 1, 2), PairRequest(3, 1, 1, 2), PairRequest(3, 0, 1, 2, 1)]
    samples = [dataset(folder)[request] for request in requests] + [dataset(folder, seed=6)[requests[0]]]
    assert len({sample.query_seed for sample in samples if isinstance(sample, PairSample)}) == 4


def test_views_take_both_keys_from_one_augmented_clip(batches: list[PairBatch]) -> None:
    query, same, other = make_views(batches[0], noise_std=0.05)
    assert query.shape == same.shape == other.shape == (4, 3, 8, 32, 32)
    assert all(view.is_contiguous(memory_format=torch.channels_last_3d) for view in (query, same, other))
    for clip in range(4):
        shared = set(batches[0].key_same[clip].tolist()) & set(batches[0].key_other[clip].tolist())
        assert len(shared) == 4
        for position in shared:
            in_same = batches[0].key_same[clip].tolist().index(position)
            in_other = batches[0].key_other[clip].tolist().index(position)
            assert torch.equal(same[clip, :, in_same], other[clip, :, in_other])
    assert make_views(batches[0], dtype=torch.bfloat16)[2].dtype == torch.bfloat16
    assert torch.equal(make_views(batches[0].to("cpu", non_blocking=True), noise_std=0.05)[1], same)


def test_too_many_skipped_end_the_run_with_the_file_written(folder: Path, tmp_path: Path) -> None:
    data = dataset(folder)
    log = SkipLog(tmp_path / "skipped.csv", num_videos=len(data), max_share=0.2)
    with pytest.raises(TooManySkippedError, match="3 of 9 videos"):
        list(make_loader(data, sampler(data), num_workers=0, skip_log=log))
    assert len(log.path.read_text().splitlines()) >= 3


@pytest.mark.parametrize("num_workers", [0, 1])
def test_no_usable_video_at_all(tmp_path: Path, num_workers: int) -> None:
    write_barcode_video(tmp_path / "short.mp4", 5, size=(SIZE, SIZE))
    data = dataset(tmp_path)
    assert data[PairRequest(0, 0, 1, 2)] == NoSample(
        (Skip("short.mp4", "too short: 5 frames, a window needs 16"),) * 10
    )
    read = make_loader(data, sampler(data, batch_size=1), num_workers=num_workers)
    with pytest.raises(TooManySkippedError, match=r"10 videos in a row .* 'short.mp4': too short: 5 frames"):
        next(iter(read))


def test_workers_outlive_ctrl_c(folder: Path) -> None:
    data = dataset(folder)
    stream = iter(make_loader(data, sampler(data, total_steps=12), num_workers=2))
    next(stream)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
    assert len(list(stream)) == 11


def test_short_shared_memory_is_said_before_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(folder)
    monkeypatch.setattr(reading, "_SHARED_MEMORY", folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 2**18))  # type: ignore[attr-defined]
    with pytest.raises(
        RSPNetError, match=r"shared memory \(.*\) has 0 MiB free, 1 are needed for 2 workers: use fewer workers"
    ):
        make_loader(data, sampler(data), num_workers=2)
    assert make_loader(data, sampler(data), num_workers=0)


@pytest.mark.parametrize(
    "text", ["DataLoader worker is killed by signal: Bus error.", "unable to write to file: No space left on device"]
)
def test_shared_memory_that_runs_out_is_named(text: str) -> None:
    def failing() -> Any:
        yield 1
        raise RuntimeError(text)

    stream = reading.named_failures(failing())
    assert next(stream) == 1
    with pytest.raises(RSPNetError, match="ran out while workers were reading"):
        next(stream)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_clips(folder: Path, num_workers: int) -> None:
    records = [dataclasses.replace(record, label=7) for record in read_folder(folder)]
    data = VideoClips(records, EvenClips(ClipShape(8, 3, SIZE), num_clips=3))
    samples = {sample.record.name: sample for sample in read_clips(data, num_workers=num_workers)}
    assert list(samples) == [record.name for record in records]
    assert all(sample.record.label == 7 for sample in samples.values())
    garbage = samples.pop("garbage.mp4")
    assert garbage.clips is None
    assert garbage.skip is not None
    assert garbage.skip.name == "garbage.mp4"
    for sample in samples.values():
        assert sample.clips is not None
        assert sample.frames is not None
        assert sample.clips.shape == (3, 8, SIZE, SIZE, 3)
        shown = [[read_barcode(frame) for frame in clip] for clip in sample.clips.numpy()]
        assert shown == sample.frames.tolist()
    assert samples["short.mp4"].frames is not None
    assert samples["short.mp4"].frames[0].tolist() == [0, 3, 6, 9, 12, 14, 14, 14]


@pytest.mark.parametrize("name", ["num_frames", "stride_frames", "num_clips", "size", "fps"])
def test_impossible_settings_are_named(name: str) -> None:
    settings: dict[str, Any] = {"num_frames": 8, "stride_frames": 1, "size": 32, "num_clips": 1, name: 0}
    num_clips = settings.pop("num_clips")
    with pytest.raises(ConfigError, match=f"{name} must be"):
        EvenClips(ClipShape(**settings), num_clips=num_clips)
