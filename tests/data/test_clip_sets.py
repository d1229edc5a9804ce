"""The clips of the baselines' tasks: plans, frames by barcode, replacement, workers, resume, ranks."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.videos import barcode_picture, read_barcode, write_barcode_video, write_video
from hypothesis import given, settings
from hypothesis import strategies as st

from rspnet.core.errors import ConfigError
from rspnet.data.annotations import read_folder
from rspnet.data.clip_sets import ClipBatch, ClipSample, ClipSetDataset, augment_clips
from rspnet.data.clip_tasks import ClipPlan, ClipRequest, ClipSampler, ClipTask, Speeds
from rspnet.data.loader import make_loader
from rspnet.data.presets import PRESETS, AugmentPreset
from rspnet.data.sampler import PairSampler
from rspnet.pretext.moco_method import MoCoMethod
from rspnet.pretext.order import OrderMethod
from rspnet.pretext.pace import PaceMethod
from rspnet.pretext.speednet import SpeedNetMethod
from rspnet.video.clips import ordered_length, ordered_ticks

TASKS = {
    "pace": PaceMethod().clips(Speeds((2, 4))),
    "speednet": SpeedNetMethod().clips(Speeds((2,))),
    "moco": MoCoMethod().clips(Speeds((2,))),
    "order": OrderMethod().clips(Speeds((2,))),
}
SIZE = 64
UNTOUCHED = AugmentPreset(crop_area=(1, 1), crop_aspect=(1, 1), flip_p=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four good videos of 40 frames, a garbage one, and one of 15 frames."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(4):
        write_barcode_video(root / f"good{number}.avi", 40, size=(SIZE, SIZE), codec="mpeg4")
    (root / "garbage.mp4").write_bytes(bytes(range(256)) * 20)
    write_barcode_video(root / "short.mp4", 15, size=(SIZE, SIZE))
    return root


def dataset(root: Path, task: ClipTask, **changes: Any) -> ClipSetDataset:
    options = {"num_frames": 8, "size": 32, "preset": PRESETS["published"], "seed": 5, **changes}
    return ClipSetDataset(read_folder(root), task=task, **options)


def sampler(data: ClipSetDataset, **changes: Any) -> ClipSampler:
    pairs = PairSampler(len(data), **{"batch_size": 4, "seed": 5, "speeds": [2], "total_steps": 4, **changes})
    return ClipSampler(pairs, data.task)


def as_bytes(batch: ClipBatch) -> list[object]:
    parts = [*batch.clips, *batch.jitter, *batch.seeds, batch.label, batch.index]
    return [part.numpy().tobytes() for part in parts] + list(batch.skipped)


@settings(max_examples=20)
@given(name=st.sampled_from(sorted(TASKS)), seed=st.integers(0, 99), step=st.integers(0, 99))
def test_plans_depend_on_seed_and_step_alone_and_labels_are_even(name: str, seed: int, step: int) -> None:
    task = TASKS[name]
    plans = task.plans(12, seed=seed, step=step)
    assert plans == task.plans(12, seed=seed, step=step)
    assert set(Counter(plan.label for plan in plans).values()) == {12 // task.num_classes}
    assert all(len(plan.speeds) == task.num_clips for plan in plans)
    if name in ("pace", "speednet"):
        played = {"pace": (1, 2, 4), "speednet": (1, 2)}[name]
        assert all(plan.speeds == (played[plan.label],) for plan in plans)
    if name == "order":
        assert all(plan.order == list(permutations(range(3)))[plan.label] for plan in plans)


def test_labels_differ_from_step_to_step_and_no_class_is_favoured() -> None:
    task = TASKS["order"]
    labels = [[plan.label for plan in task.plans(32, seed=0, step=step)] for step in range(100)]
    assert len({tuple(row) for row in labels}) == 100
    counts = np.bincount(np.concatenate(labels), minlength=6)
    assert counts.min() > 0.9 * counts.mean()


def test_speednet_draws_one_fast_speed_a_batch() -> None:
    task = SpeedNetMethod().clips(Speeds((2, 3)))
    fast = [{plan.speeds[0] for plan in task.plans(8, seed=0, step=step) if plan.label == 1} for step in range(20)]
    assert all(len(one) == 1 for one in fast)
    assert set.union(*fast) == {2, 3}


@given(num_frames=st.integers(1, 20), num_clips=st.integers(1, 4))
def test_ordered_clips_do_not_overlap_and_fill_their_window(num_frames: int, num_clips: int) -> None:
    ticks = ordered_ticks(num_frames, num_clips)
    assert ticks.shape == (num_clips, num_frames)
    assert (np.diff(ticks.ravel()) >= 1).all()
    assert ticks[0, 0] == 0
    assert ticks[-1, -1] + 1 == ordered_length(num_frames, num_clips)
    gaps = ticks[1:, 0] - ticks[:-1, -1] - 1
    assert (gaps == num_frames // 2).all()


@pytest.mark.parametrize(("name", "window"), [("pace", 32), ("speednet", 16), ("moco", 8), ("order", 32)])
def test_windows_hold_what_the_task_needs(name: str, window: int) -> None:
    assert TASKS[name].window(8) == window


def test_frames_are_what_the_plan_says(folder: Path) -> None:
    """Barcodes tell which frames came out: speeds, independent windows, and the shown order of ordered clips."""
    for name, task in TASKS.items():
        data = dataset(folder, task, size=SIZE, preset=UNTOUCHED)
        starts = []
        for epoch, plan in enumerate(task.plans(6, seed=1, step=0)):
            index = [record.name for record in data.records].index("good1.avi")
            sample = data.sample(ClipRequest(index, epoch, 0, plan), {})
            assert isinstance(sample, ClipSample)
            assert sample.label == plan.label
            shown = [np.array([read_barcode(frame) for frame in clip.numpy()]) for clip in sample.clips]
            for clip, speed in zip(shown, plan.speeds, strict=True):
                assert (np.diff(clip) == speed).all()
            starts.append([int(clip[0]) for clip in shown])
            if name == "order":
                assert tuple(np.argsort(np.argsort(starts[-1]))) == plan.order
                assert sorted(np.diff(sorted(starts[-1])).tolist()) == [12, 12]
        assert len({tuple(row) for row in starts}) > 2
        if name == "moco":
            assert any(first != second for first, second in starts)


@pytest.mark.parametrize("name", TASKS)
def test_workers_resume_and_ranks_change_nothing(name: str, folder: Path) -> None:
    data = dataset(folder, TASKS[name])
    whole = list(make_loader(data, sampler(data), num_workers=0))
    assert len(whole) == 4
    resumed = make_loader(data, sampler(data, start_step=2), num_workers=1)
    assert [as_bytes(batch) for batch in resumed] == [as_bytes(batch) for batch in whole[2:]]
    halves = [make_loader(data, sampler(data, rank=rank, world_size=2), num_workers=0) for rank in (0, 1)]
    for together, *parts in zip(whole, *halves, strict=True):
        assert torch.equal(torch.cat([part.label for part in parts]), together.label)
        assert torch.equal(torch.cat([part.clips[0] for part in parts]), together.clips[0])
    views = augment_clips(whole[0], noise_std=0.05)
    assert len(views) == TASKS[name].num_clips
    assert all(view.shape == (4, 3, 8, 32, 32) for view in views)
    assert torch.equal(augment_clips(whole[0].to("cpu"), noise_std=0.05)[0], views[0])


def test_videos_that_do_not_serve_are_replaced_and_named(folder: Path) -> None:
    data = dataset(folder, TASKS["order"])
    place = {record.name: index for index, record in enumerate(data.records)}
    for name, reason in (("short.mp4", "too short: 15 frames, a window needs 32"), ("garbage.mp4", "")):
        sample = data.sample(ClipRequest(place[name], 0, 0, ClipPlan((1, 1, 1), 0, (0, 1, 2))), {})
        assert isinstance(sample, ClipSample)
        assert sample.skipped[0].name == name
        assert reason in sample.skipped[0].reason
        assert data.records[sample.index].name.startswith("good")


@pytest.mark.parametrize("every", [2, 40])
def test_frozen_and_doubled_videos_tell_no_speed(every: int, tmp_path: Path) -> None:
    """Also where every frame comes twice, so that a clip at speed 2 alone looks sound."""
    pictures = [barcode_picture(index // every, size=(SIZE, SIZE)) for index in range(40)]
    write_video(tmp_path / "frozen.mp4", pictures)
    write_barcode_video(tmp_path / "good.mp4", 40, size=(SIZE, SIZE))
    data = dataset(tmp_path, TASKS["pace"])
    sample = data.sample(ClipRequest(0, 0, 0, ClipPlan((2,), 1)), {})
    assert isinstance(sample, ClipSample)
    assert "frozen or duplicated frames" in sample.skipped[0].reason


def test_tasks_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="plan for each of the labels 0, 1"):
        ClipTask(((ClipPlan((1,), 0), ClipPlan((2,), 2)),))
    with pytest.raises(ConfigError, match="plan for each of the labels 0, 1"):
        ClipTask(((ClipPlan((1,), 0), ClipPlan((2,), 1)), (ClipPlan((1,), 0),)))
    with pytest.raises(ConfigError, match=r"same number of clips, not \[1, 2\]"):
        ClipTask(((ClipPlan((1,), 0), ClipPlan((1, 2), 1)),))
