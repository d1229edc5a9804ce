"""The factor set: labels independent of one another, and true of the pixels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rspnet.data.synthetic.procedural import boxes
from rspnet.lab.disentangle.factor_set import DIRECTIONS, TINTS, plan_factor_set, write_factor_set
from rspnet.video.reader import open_video


@pytest.fixture(scope="module")
def videos():
    return plan_factor_set(num_videos=288, seed=3, num_frames=12, size=48)


@pytest.mark.parametrize("factor", ["colour", "motion", "texture", "speed", "direction", "background"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_factor_is_balanced(videos, factor, split):
    counts = Counter(v.labels[factor] for v in videos if factor in v.labels and v.clip.split == split)
    slack = 1 if factor != "speed" else 12
    slack = 8 if factor == "background" else slack  # drawn a background picture at a time, four clips each
    assert max(counts.values()) - min(counts.values()) <= slack


def test_factors_are_independent(videos):
    main = [video for video in videos if "motion" in video.labels]
    for first, second in (("colour", "texture"), ("colour", "motion"), ("motion", "texture"), ("speed", "motion")):
        table = Counter((video.labels[first], video.labels[second]) for video in main)
        rows, columns = ({video.labels[name] for video in main} for name in (first, second))
        expected = len(main) / (len(rows) * len(columns))
        chi2 = sum((table[row, column] - expected) ** 2 / expected for row in rows for column in columns)
        assert chi2 < 2.2 * (len(rows) - 1) * (len(columns) - 1) + 8, (first, second)


def test_directions_are_those_of_the_object(videos):
    steps = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}
    for direction in DIRECTIONS:
        video = next(v for v in videos if v.labels.get("direction") == direction)
        path = boxes(video.clip)[:, :2]
        moved = (np.diff(path, axis=0) + 24) % 48 - 24  # the picture is a torus
        assert moved.mean(axis=0) == pytest.approx(np.array(steps[direction]) * video.clip.speed, abs=1e-6)


def test_written_videos_show_their_tint(tmp_path: Path, videos):
    chosen = [next(v for v in videos if v.tint == tint and "colour" in v.labels) for tint in TINTS]
    write_factor_set(tmp_path, chosen, workers=0)
    for video in chosen:
        with open_video(video.path(tmp_path)) as reader:
            shown = reader.frames_at([0, 5]).astype(float)
        true = video.frames()[[0, 5]]
        assert np.abs(shown.mean(axis=(0, 1, 2)) - true.mean(axis=(0, 1, 2))).max() < 2
    stamps = [video.path(tmp_path).stat().st_mtime_ns for video in chosen]
    write_factor_set(tmp_path, chosen)
    assert [video.path(tmp_path).stat().st_mtime_ns for video in chosen] == stamps
