from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.videos import read_barcode, write_barcode_video

from rspnet.core.errors import ConfigError, TooManySkippedError
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import ClipShape, EvenClips, even_squares, spread_ticks
from rspnet.data.labelled_clips import LabelledClipDataset, LabelledRequest, LabelledSampler, labelled_batches
from rspnet.data.presets import AugmentPreset
from rspnet.data.video_clips import VideoClips

WHOLE = AugmentPreset(crop_area=(1.0, 1.0), crop_aspect=(320 / 240, 320 / 240), flip_p=0.0)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[VideoRecord]:
    folder = tmp_path_factory.mktemp("videos")
    lengths = (30, 12, 6, 20)
    paths = [write_barcode_video(folder / f"{n}.mp4", length) for n, length in enumerate(lengths)]
    return [VideoRecord(path, path.name, number % 2) for number, path in enumerate(paths)]


def requests(sampler: LabelledSampler) -> list[list[LabelledRequest]]:
    return list(sampler)


def test_an_epoch_visits_every_video_once_and_a_resume_goes_on():
    whole = requests(LabelledSampler(10, batch_size=3, seed=0, total_steps=7))
    assert len({r.index for batch in whole[:3] for r in batch}) == 9
    assert [r.epoch for batch in whole for r in batch] == [0] * 9 + [1] * 9 + [2] * 3
    assert requests(LabelledSampler(10, batch_size=3, seed=0, total_steps=7, start_step=4)) == whole[4:]
    parts = [requests(LabelledSampler(10, batch_size=4, seed=0, total_steps=4, rank=r, world_size=2)) for r in (0, 1)]
    together = [a + b for a, b in zip(*parts, strict=True)]
    assert together == requests(LabelledSampler(10, batch_size=4, seed=0, total_steps=4))
    with pytest.raises(ConfigError, match="more than 10 training videos"):
        LabelledSampler(10, batch_size=11, seed=0, total_steps=1)


def test_spread_ticks_cover_the_video():
    assert spread_ticks(40, 4, 0.0).tolist() == [0, 10, 20, 30]
    assert spread_ticks(40, 4, 0.5).tolist() == [5, 15, 25, 35]
    assert spread_ticks(2, 4, 0.99).tolist() == [0, 0, 1, 1]
    assert spread_ticks(40, 4, 0.9999).max() < 40


@pytest.mark.parametrize("spread", [False, True])
def test_a_training_clip_is_a_true_window(records, spread):
    shape = ClipShape(num_frames=5, stride_frames=2, size=240, spread=spread)
    dataset = LabelledClipDataset(records, shape=shape, preset=WHOLE, seed=0)
    starts = set()
    for place in range(12):
        pixels, label, file, skipped = dataset.sample(LabelledRequest(0, 0, place), {})
        assert file == str(records[0].path)
        seen = [read_barcode(frame.repeat(1, axis=1)) for frame in stretched(pixels)]
        assert label == 0
        assert not skipped
        steps = {b - a for a, b in itertools.pairwise(seen)}
        assert steps == ({6} if spread else {2})
        starts.add(seen[0])
    assert len(starts) > 3
    pixels, *_ = dataset.sample(LabelledRequest(2, 0, 0), {})  # 6 frames, 9 needed: the last one is repeated
    if not spread:
        assert [read_barcode(frame) for frame in stretched(pixels)] == [0, 2, 4, 5, 5]


def stretched(pixels: np.ndarray) -> np.ndarray:
    """A square picture drawn out to the barcode's 320 x 240."""
    columns = (np.arange(320) * pixels.shape[2] / 320).astype(int)
    return pixels[:, :, columns]


def test_workers_change_nothing_and_broken_videos_are_named(records, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken = VideoRecord(tmp_path / "broken.mp4", "broken.mp4", 1)
    shape = ClipShape(num_frames=4, stride_frames=1, size=32)
    dataset = LabelledClipDataset([*records, broken], shape=shape, preset=AugmentPreset(), seed=3)
    sampler = LabelledSampler(5, batch_size=5, seed=0, total_steps=2)
    batches = [list(labelled_batches(dataset, sampler, num_workers=n)) for n in (0, 2)]
    for here, there in zip(*batches, strict=True):
        assert torch.equal(here.clips, there.clips)
        assert torch.equal(here.labels, there.labels)
        assert here.clips.shape == (5, 4, 32, 32, 3)
        assert {skip.name for skip in here.skipped} == {"broken.mp4"}
        assert here.skipped == there.skipped
    with pytest.raises(TooManySkippedError, match="10 training videos in a row"):
        LabelledClipDataset([broken], shape=shape, preset=WHOLE, seed=0).sample(LabelledRequest(0, 0, 0), {})


def test_crops_lie_along_the_longer_side():
    assert even_squares(240, 320, 1) == [(0, 40, 240, 240)]
    assert even_squares(240, 320, 3) == [(0, 0, 240, 240), (0, 40, 240, 240), (0, 80, 240, 240)]
    assert even_squares(320, 240, 3) == [(0, 0, 240, 240), (40, 0, 240, 240), (80, 0, 240, 240)]
    with pytest.raises(ConfigError, match="1 or 3, not 2"):
        even_squares(240, 320, 2)


def test_evaluation_views(records):
    shape = ClipShape(num_frames=4, stride_frames=1, size=60)
    one = VideoClips(records, EvenClips(shape, num_clips=3))[0]
    three = VideoClips(records, EvenClips(shape, num_clips=3, num_crops=3))[0]
    assert three.clips.shape == (9, 4, 60, 60, 3)
    assert torch.equal(three.clips[1::3], one.clips)
    assert not torch.equal(three.clips[0], three.clips[1])
    assert one.frames.tolist() == [[0, 1, 2, 3], [13, 14, 15, 16], [26, 27, 28, 29]]
    spread = VideoClips(records, EvenClips(ClipShape(5, 1, 60, spread=True), num_clips=2))[0]
    assert spread.frames.tolist() == [[1, 7, 13, 19, 25], [4, 10, 16, 22, 28]]
    missing = VideoClips([VideoRecord(Path("none.mp4"), "none.mp4", 0)], EvenClips(shape, num_clips=1))[0]
    assert missing.skip is not None
