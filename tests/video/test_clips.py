from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference.clips_reference import nearest_frame, window_is_even, without_pauses

from rspnet.core.errors import RSPNetError
from rspnet.video.clips import (
    draw_window,
    even_clips,
    speed_union,
    tick_frames,
    true_ticks,
    uniform_windows,
    window_length,
)

few = st.integers(1, 12)


@pytest.mark.parametrize("speeds", [[1, 2, 4], [4, 2, 1], [2, 4]])
def test_window_is_sized_by_the_largest_speed_in_any_order(speeds: list[int]) -> None:
    assert window_length(16, speeds) == 64


@pytest.mark.parametrize("speeds", [[], [0, 2]])
def test_window_refuses_no_speed(speeds: list[int]) -> None:
    with pytest.raises(RSPNetError, match="speeds whole numbers >= 1"):
        window_length(16, speeds)


@given(num_frames=few, first=few, second=few)
def test_union_holds_both_clips_and_nothing_else(num_frames: int, first: int, second: int) -> None:
    union = speed_union(num_frames, first, second)
    slow = [first * k for k in range(num_frames)], [second * k for k in range(num_frames)]
    assert union.offsets[union.first].tolist() == slow[0]
    assert union.offsets[union.second].tolist() == slow[1]
    assert union.offsets.tolist() == sorted(set(slow[0] + slow[1]))


@given(total=st.integers(1, 300), num_frames=few, stride=few, num_clips=few)
def test_even_clips(total: int, num_frames: int, stride: int, num_clips: int) -> None:
    clips = even_clips(total, num_frames=num_frames, stride_frames=stride, num_clips=num_clips)
    assert clips.shape == (num_clips, num_frames)
    span = (num_frames - 1) * stride + 1
    starts = clips[:, 0]
    if span <= total:
        assert (clips == starts[:, None] + np.arange(num_frames) * stride).all()
        if num_clips == 1:
            assert abs(2 * starts[0] + span - total) <= 1
        else:
            ideal = np.linspace(0, total - span, num_clips)
            assert np.abs(starts - ideal).max() <= 0.5
            assert (starts[0], clips[-1, -1]) == (0, total - 1)
    else:
        assert (clips == np.minimum(np.arange(num_frames) * stride, total - 1)).all()


@example(intervals=[1, 1, 1, 12, 4], fps=60.0)
@settings(max_examples=60)
@given(
    intervals=st.lists(st.integers(1, 80), min_size=0, max_size=30), fps=st.sampled_from([5.0, 12.5, 25.0, 29.97, 60.0])
)
def test_resampling_takes_the_nearest_frame(intervals: list[int], fps: float) -> None:
    times = np.concatenate([[0], np.cumsum(intervals)]) / 1000
    frames = tick_frames(times, fps)
    counted = without_pauses(times.tolist(), fps)
    assert frames.tolist() == [nearest_frame(counted, tick / fps) for tick in range(len(frames))]
    assert (len(frames) - 1) / fps <= counted[-1] + 1e-6 < len(frames) / fps + 1e-5


@settings(max_examples=60)
@given(intervals=st.lists(st.sampled_from([30, 33, 34, 40, 66, 0]), min_size=3, max_size=30), length=st.integers(3, 8))
def test_uniform_windows_equal_the_loop(intervals: list[int], length: int) -> None:
    times = np.concatenate([[0], np.cumsum(intervals)]) / 1000
    expected = [window_is_even(times[start : start + length].tolist()) for start in range(len(times) - length + 1)]
    assert uniform_windows(times, length).tolist() == expected


@pytest.mark.parametrize("fps", [24, 30, 59.94, 120])
@pytest.mark.parametrize("length", [32, 256])
def test_times_rounded_to_milliseconds_are_even(fps: float, length: int) -> None:
    times = np.round(np.arange(600) / fps, 3)
    assert uniform_windows(times, length).all()


@pytest.mark.parametrize("lost", range(1, 31))
def test_one_lost_frame_anywhere_fails(lost: int) -> None:
    times = np.delete(np.arange(33) / 30, lost)
    assert not uniform_windows(times, 32).any()


@given(seed=st.integers(0, 10**6), length=st.integers(1, 30), extra=st.integers(0, 20))
def test_windows_are_consecutive_frames(seed: int, length: int, extra: int) -> None:
    times = np.arange(length + extra) / 30
    window = draw_window(times, length=length, rng=np.random.default_rng(seed))
    assert (np.diff(window) == 1).all()
    assert len(window) == length
    assert 0 <= window[0] <= extra


def test_every_start_is_drawn() -> None:
    times = np.arange(12) / 30
    starts = {int(draw_window(times, length=8, rng=np.random.default_rng(seed))[0]) for seed in range(100)}
    assert starts == {0, 1, 2, 3, 4}


def test_a_window_never_spans_a_gap() -> None:
    times = np.concatenate([np.arange(10), 50 + np.arange(9)]) / 30
    starts = {int(draw_window(times, length=8, rng=np.random.default_rng(seed))[0]) for seed in range(200)}
    assert starts == {0, 1, 2, 10, 11}


def test_a_resampled_window_never_spans_a_gap() -> None:
    times = np.concatenate([np.arange(20), 60 + np.arange(20)]) / 30
    for seed in range(50):
        window = draw_window(times, length=8, rng=np.random.default_rng(seed), fps=15)
        assert (np.diff(times[window]) < 0.11).all()
    assert not true_ticks(times, 15).all()


@pytest.mark.parametrize(
    ("times", "fps", "reason"),
    [
        (np.arange(31) / 30, None, "too short: 31 frames, a window needs 32"),
        (np.arange(62) / 30, 15.0, "too short: 31 frames at 15 fps, a window needs 32"),
        (np.zeros(0), 15.0, "too short: 0 frames at 15 fps, a window needs 32"),
        (np.cumsum(np.tile([1, 5], 40)) / 30, None, "not evenly spaced in any window of 32 frames"),
        (np.arange(9) * 1.0 + np.array([0, 0, 0, 0, 0, 0, 0, 0, 30]), 4.0, "a low frame rate, leave no window of 32"),
    ],
)
def test_pretraining_refuses(times: np.ndarray, fps: float | None, reason: str) -> None:
    with pytest.raises(RSPNetError, match=reason):
        draw_window(times, length=32, rng=np.random.default_rng(0), fps=fps)
