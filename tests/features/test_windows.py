from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reference.windows_reference import windows_of

from rspnet.features.windows import ClipSettings, cut_windows

SETTINGS = ClipSettings(window_s=2.0, hop_s=1.0, clips=1, num_frames=4, stride=2, size=32)


@pytest.mark.parametrize(
    ("seconds", "starts", "last_end"),
    [(0.5, [0], 0.5), (2.0, [0], 2.0), (2.1, [0, 1], 2.1), (3.0, [0, 1], 3.0), (5.5, [0, 1, 2, 3, 4], 5.5)],
)
def test_windows_cover_the_whole_video(seconds, starts, last_end):
    times = np.arange(round(seconds * 10)) / 10
    windows = cut_windows(times, SETTINGS, fps=10.0)
    assert windows.start_s.tolist() == starts
    assert windows.end_s[-1] == pytest.approx(last_end)
    assert (windows.end_s[:-1] == windows.start_s[:-1] + 2).all()
    for start, end, frames in zip(windows.start_s, windows.end_s, windows.frames, strict=True):
        assert (times[frames] >= start - 1e-9).all()
        assert (times[frames] < end).all()


def test_frames_are_from_the_middle_and_short_windows_repeat_the_last():
    times = np.arange(30) / 10
    assert cut_windows(times, SETTINGS, fps=10.0).frames.tolist() == [[6, 8, 10, 12], [16, 18, 20, 22]]
    assert cut_windows(times[:3], SETTINGS, fps=10.0).frames.tolist() == [[0, 2, 2, 2]]


def test_a_part_of_a_video_has_its_own_windows():
    windows = cut_windows(np.arange(100) / 10, SETTINGS, fps=10.0, start_s=2.5, end_s=5.0)
    assert windows.start_s.tolist() == [2.5, 3.5]
    assert windows.end_s.tolist() == [4.5, 5.0]
    assert windows.frames.min() >= 25
    assert windows.frames.max() < 50


def test_windows_go_by_time_where_the_frame_rate_changes():
    times = np.concatenate([np.arange(20) / 10, 2 + np.arange(60) / 30])  # 2 s at 10 and 2 s at 30 frames a second
    windows = cut_windows(times, SETTINGS, fps=20.0)
    assert windows.start_s.tolist() == [0, 1, 2, 3][: len(windows.start_s)]
    assert (times[windows.frames[2]] >= 2).all()


def test_clips_are_from_the_middles_of_equal_parts():
    two = replace(SETTINGS, clips=2, stride=1)
    assert cut_windows(np.arange(20) / 10, two, fps=10.0).frames.tolist() == [[3, 4, 5, 6], [13, 14, 15, 16]]
    many = replace(SETTINGS, clips=5, stride=3)  # longer than their parts: kept inside the window
    frames = cut_windows(np.arange(20) / 10, many, fps=10.0).frames
    assert frames.shape == (5, 4)
    assert frames.min() == 0
    assert frames.max() == 19
    assert (np.diff(frames, axis=1) == 3).all()


def times_like(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Presentation times of 40 frames: steady, of variable rate, with long pauses, or a time lapse."""
    if kind == "steady":
        return np.arange(40) / rng.uniform(5, 30)
    if kind == "variable":
        return np.cumsum(rng.uniform(0.02, 0.4, 40))
    if kind == "pauses":
        return np.cumsum(np.where(rng.random(40) < 0.1, rng.uniform(5, 30, 40), 0.04))
    return 17.0 + 31.7 * np.arange(40)


@pytest.mark.parametrize("kind", ["steady", "variable", "pauses", "lapse"])
@pytest.mark.parametrize("seed", range(6))
def test_windows_are_those_of_the_slow_twin_and_hold_every_frame(kind, seed):
    rng = np.random.default_rng([seed, len(kind)])
    times = times_like(kind, rng)
    window_s = float(rng.uniform(0.3, 6))
    hop_s = float(rng.uniform(0.05, 1)) * window_s
    settings = replace(SETTINGS, window_s=window_s, hop_s=hop_s)
    windows = cut_windows(times, settings, fps=10.0)
    slow = windows_of(times.tolist(), window_s=window_s, hop_s=hop_s, fps=10.0)
    np.testing.assert_allclose(windows.start_s, [start for start, _, _ in slow], atol=1e-9)
    np.testing.assert_allclose(windows.end_s, [end for _, end, _ in slow], atol=1e-9)
    assert windows.shown.tolist() == [len(frames) for _, _, frames in slow]
    assert len(slow) <= len(times)
    assert {frame for _, _, frames in slow for frame in frames} == set(range(len(times)))
    for clip, (_, _, frames) in zip(windows.frames.tolist(), slow, strict=True):
        assert set(clip) <= set(frames)


def test_a_year_at_one_frame_an_hour_costs_no_more_windows_than_frames():
    windows = cut_windows(np.arange(24 * 365) * 3600.0, SETTINGS, fps=1 / 3600)
    assert len(windows.start_s) == 24 * 365
    assert (windows.shown == 1).all()


@pytest.mark.parametrize("fps", [4.0, 12.0, 60.0])
def test_ticks_are_the_nearest_frames_by_time(fps):
    times = np.cumsum(np.random.default_rng(3).uniform(0.02, 0.2, 60))
    settings = replace(SETTINGS, fps=fps, num_frames=8, stride=1)
    windows = cut_windows(times, settings, fps=10.0)
    times = times - times[0]
    for start, end, frames in zip(windows.start_s, windows.end_s, windows.frames, strict=True):
        ticks = [start + tick / fps for tick in range(1000) if start + tick / fps < end - 1e-6]
        nearest = [min(range(60), key=lambda i: (round(abs(times[i] - tick), 9), i)) for tick in ticks]
        places = " ".join(map(str, nearest + nearest[-1:] * 8))
        assert " ".join(map(str, frames)) in places
