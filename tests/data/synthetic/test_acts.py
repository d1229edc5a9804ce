"""The drawn acts: functions of their labels, labels independent, acts that move as they are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rspnet.core.errors import RSPNetError
from rspnet.data.synthetic.acting import Capsule
from rspnet.data.synthetic.acts import ACTS, OUTFITS, PLACES, act_parts, plan_acts, read_acts, render_act, write_acts
from rspnet.video.reader import open_video

CLIPS = plan_acts(num_videos=400, seed=0, num_frames=40, size=32)


def test_labels_are_balanced_and_independent() -> None:
    for split, count in (("train", 300), ("test", 100)):
        clips = [clip for clip in CLIPS if clip.split == split]
        assert len(clips) == count
        for label, kinds in (("act", ACTS), ("outfit", OUTFITS), ("place", PLACES)):
            counts = Counter(getattr(clip, label) for clip in clips)
            assert set(counts) == set(kinds)
            assert max(counts.values()) - min(counts.values()) <= 1
    pairs = Counter((clip.act, clip.outfit) for clip in CLIPS)
    assert len(pairs) == len(ACTS) * len(OUTFITS)
    assert len({clip.seed for clip in CLIPS}) == len({clip.name for clip in CLIPS}) == 400


def test_pixels_are_a_function_of_the_clip_and_looks_change_no_motion() -> None:
    clip = CLIPS[0]
    np.testing.assert_array_equal(render_act(clip), render_act(clip))
    other = replace(clip, outfit="red shirt" if clip.outfit != "red shirt" else "blue shirt", place="sea")
    assert np.abs(render_act(clip).astype(int) - render_act(other)).mean() > 3
    for mine, theirs in zip(act_parts(clip), act_parts(other), strict=True):
        assert isinstance(mine, Capsule)
        assert isinstance(theirs, Capsule)
        np.testing.assert_array_equal(mine.end, theirs.end)


@pytest.mark.parametrize("act", ACTS)
def test_every_act_moves_within_the_picture_and_comes_back(act: str) -> None:
    """The figure is somewhere else within a cycle and about where it was after one (at most 34 frames long)."""
    clip = replace(next(clip for clip in CLIPS if clip.act == act), num_frames=80)
    ends = np.stack([part.end for part in act_parts(clip) if isinstance(part, Capsule)])
    far = np.linalg.norm(ends - ends[:, :1], axis=2).max(axis=0)
    assert far.max() > 0.05
    assert far[16:36].min() < 0.35 * far.max()
    assert np.quantile(ends, [0.02, 0.98]) == pytest.approx(0.5, abs=0.6)


def test_a_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    clips = plan_acts(num_videos=4, seed=1, num_frames=8, size=32)
    write_acts(tmp_path, clips)
    records = read_acts(tmp_path)
    assert [record.clip for record in records] == clips
    assert {record.path.parent.name for record in records} == {"train", "test"}
    with open_video(records[0].path) as video:
        assert (len(video), video.height, video.width) == (8, 32, 32)


def test_an_impossible_set_is_refused() -> None:
    with pytest.raises(RSPNetError, match="at least 1 video"):
        plan_acts(num_videos=0, seed=0)
