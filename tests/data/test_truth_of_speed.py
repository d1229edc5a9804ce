"""No sample reaches the RSP loss with a wrong relative speed, whatever the timestamps say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.videos import barcode_picture, read_barcode, write_barcode_video, write_video
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import read_folder
from rspnet.data.datasets import ClipPairDataset, NoSample, PairSample
from rspnet.data.presets import AugmentPreset
from rspnet.data.sampler import PairRequest
from rspnet.video.clips import MAX_REPEATED, draw_window, repeated_share

SIZE = 64
FRAMES = 4
SPEEDS = (1, 2, 3)
WINDOW = FRAMES * max(SPEEDS)
UNTOUCHED = AugmentPreset(crop_area=(1, 1), crop_aspect=(1, 1), flip_p=0)


@st.composite
def timestamps(draw: st.DrawFn) -> np.ndarray:
    """Presentation times as bad files have them: pieces at different rates, gaps, repeats, jitter."""
    intervals: list[float] = []
    for _ in range(draw(st.integers(1, 4))):
        rate = draw(st.sampled_from([5.0, 12.0, 15.0, 24.0, 29.97, 30.0, 60.0]))
        intervals += [1 / rate] * draw(st.integers(2, 40))
        intervals += [draw(st.sampled_from([0.0, 0.2 / rate, 2 / rate, 5.0]))] * draw(st.integers(0, 2))
    jitter = draw(st.sampled_from([0.0, 0.0, 0.001, 0.02]))
    seed = draw(st.integers(0, 2**32 - 1))
    times = np.concatenate([[0.0], np.cumsum(intervals)])
    return np.sort(times + jitter * np.random.default_rng(seed).uniform(-1, 1, len(times)))


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(timestamps(), st.integers(0, 5))
def test_native_windows_play_at_their_speed(times: np.ndarray, seed: int) -> None:
    try:
        window = draw_window(times, length=WINDOW, rng=np.random.default_rng(seed))
    except RSPNetError:
        return
    interval = (times[window[-1]] - times[window[0]]) / (WINDOW - 1)
    for speed in SPEEDS:
        clip = times[window[: FRAMES * speed : speed]]
        # Every frame is within half an interval of where it belongs at this speed ...
        assert np.abs(clip - clip[0] - np.arange(FRAMES) * speed * interval).max() <= 1.01 * interval
        # ... so that no step of a faster clip is as short as a step of the next slower one.
        assert np.diff(clip).min() > (speed - 1) * interval
        assert np.diff(clip).max() < (speed + 1) * interval


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(timestamps(), st.sampled_from([5.0, 10.0, 12.5, 30.0]), st.integers(0, 5))
def test_resampled_windows_play_at_their_speed(times: np.ndarray, fps: float, seed: int) -> None:
    try:
        window = draw_window(times, length=WINDOW, rng=np.random.default_rng(seed), fps=fps)
    except RSPNetError:
        return
    assert (np.diff(window) >= 0).all()
    assert (np.diff(window) == 0).mean() < MAX_REPEATED
    ticks = np.round((times[window] - times[0]) * fps)
    late = times[window] - times[0] - (ticks[0] + np.arange(WINDOW)) / fps
    native = np.median(np.diff(times))
    # Off its tick by no more than half a native interval (the first tick itself is only known to one tick).
    assert late.max() - late.min() <= native * 1.01 + 1e-6


def noisy(indices: Iterator[int] | range | list[int]) -> list[np.ndarray]:
    return [barcode_picture(index, size=(SIZE, SIZE)) for index in indices]


def sample_of(folder: Path, request: PairRequest, *, fps: float | None = None) -> PairSample | NoSample:
    data = ClipPairDataset(read_folder(folder), num_frames=8, speeds=[2], size=SIZE, preset=UNTOUCHED, seed=0, fps=fps)
    return data[request]


FALSE_SPEEDS: dict[str, Callable[[Path], object]] = {
    "frozen": lambda path: write_video(path, noisy([5] * 40)),
    "doubled": lambda path: write_video(path, noisy([index // 2 for index in range(60)])),
    "tripled": lambda path: write_video(path, noisy([index // 3 for index in range(60)]), codec="mpeg4"),
    "too short": lambda path: write_barcode_video(path, 15, size=(SIZE, SIZE)),
    "not evenly": lambda path: write_barcode_video(
        path, 40, size=(SIZE, SIZE), times=[index + 3 * (index // 6) for index in range(40)]
    ),
}


@pytest.mark.parametrize("speeds", [(1, 2), (2, 1)])
@pytest.mark.parametrize("kind", FALSE_SPEEDS)
def test_videos_without_a_true_speed_are_left_out(tmp_path: Path, kind: str, speeds: tuple[int, int]) -> None:
    FALSE_SPEEDS[kind](tmp_path / "false.mp4")
    sample = sample_of(tmp_path, PairRequest(0, 0, *speeds))
    assert isinstance(sample, NoSample)
    why = "frozen or duplicated" if kind in ("frozen", "doubled", "tripled") else kind
    assert all(why in skip.reason for skip in sample.skipped), sample.skipped


def test_a_freeze_in_one_place_costs_only_its_windows(tmp_path: Path) -> None:
    shown = [*range(60), *[60] * 25, *range(60, 120)]
    write_video(tmp_path / "pause.mp4", noisy(shown), options={"bf": "0"})
    for epoch in range(12):
        sample = sample_of(tmp_path, PairRequest(0, epoch, 1, 2))
        assert isinstance(sample, PairSample)
        for clip in (sample.query, sample.key[sample.key_same], sample.key[sample.key_other]):
            assert repeated_share(clip.numpy()) < MAX_REPEATED


STRIDES = {
    "sound": [1],
    "doubled": [0, 1],
    "tripled": [0, 0, 1],
    "film": [1, 1, 1, 1, 0],
    "uneven": [0, 1, 1],
    "frozen": [0],
}


@st.composite
def what_is_shown(draw: st.DrawFn) -> list[int]:
    """The picture shown by each frame of a file whose rate was made up by repeating frames, here and there."""
    shown = [0]
    for _ in range(draw(st.integers(1, 4))):
        stride = STRIDES[draw(st.sampled_from(list(STRIDES)))]
        length = draw(st.integers(4, 45))
        for place in range(length):
            shown.append(shown[-1] + stride[place % len(stride)])
    return shown


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    what_is_shown(),
    st.sampled_from([(1, 2), (2, 1), (1, 3), (3, 1)]),
    st.sampled_from([None, None, 30.0, 24.0, 15.0, 10.0]),
    st.integers(0, 9),
    st.sampled_from([4, 8]),
)
def test_what_is_seen_plays_at_the_speed_named(
    tmp_path_factory: pytest.TempPathFactory,
    shown: list[int],
    speeds: tuple[int, int],
    fps: float | None,
    epoch: int,
    num_frames: int,
) -> None:
    """Whatever the file repeats, the clip at the query's speed is the nearer one: the label of RSP is true.

    Coded finely: where two copies of a picture differ by over a tenth of what moves, nobody knows them for copies.
    """
    root = tmp_path_factory.mktemp("shown")
    fine = {"qmin": "2", "qmax": "2"}
    write_video(root / "a.mkv", noisy(shown), codec="mjpeg", pix_fmt="yuvj420p", options=fine)
    data = ClipPairDataset(
        read_folder(root), num_frames=num_frames, speeds=[max(speeds)], size=SIZE, preset=UNTOUCHED, seed=0, fps=fps
    )
    sample = data[PairRequest(0, epoch, *speeds)]
    if isinstance(sample, NoSample):
        return
    codes = [
        [read_barcode(frame) for frame in clip.numpy()]
        for clip in (sample.query, sample.key[sample.key_same], sample.key[sample.key_other])
    ]
    query, same, other = (clip[-1] - clip[0] for clip in codes)  # type: ignore[operator]
    assert min(query, same, other) > 0
    assert abs(np.log(query / same)) < abs(np.log(query / other)), codes


def test_doubling_in_one_half_of_a_file_is_seen_at_every_speed(tmp_path: Path) -> None:
    """At speed 2 the doubled half looks sound: only the frames between tell."""
    half = list(range(60))
    write_video(tmp_path / "a.mkv", noisy([*half, *(60 + index // 2 for index in range(120))]), codec="ffv1")
    for epoch in range(10):
        sample = sample_of(tmp_path, PairRequest(0, epoch, 2, 1))
        assert isinstance(sample, PairSample)
        clips = (sample.query, sample.key[sample.key_same], sample.key[sample.key_other])
        for clip, speed in zip(clips, (2, 2, 1), strict=True):
            first, last = read_barcode(clip.numpy()[0]), read_barcode(clip.numpy()[-1])
            assert last - first > (1 - MAX_REPEATED) * speed * (len(clip) - 1)  # type: ignore[operator]


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0)])
def test_a_straight_edge_that_moves_evenly_repeats_nothing(tmp_path: Path, down: int, right: int) -> None:
    """A drawn rectangle at a pixel a frame: looked at on a coarse grid, it would move every few frames only."""
    pictures = [np.full((144, 192, 3), 40, np.uint8) for _ in range(60)]
    for index, picture in enumerate(pictures):
        top, left = 20 + down * index, 20 + right * index
        picture[top : top + 50, left : left + 70] = 220
    write_video(tmp_path / "a.mkv", pictures, codec="ffv1")
    for epoch in range(4):
        sample = sample_of(tmp_path, PairRequest(0, epoch, 1, 2))
        assert isinstance(sample, PairSample)


def test_rates_that_differ_within_a_folder(tmp_path: Path) -> None:
    """Resampled by time, the same motion has the same speed in every file; a file too slow for it is left out."""
    for fps in (20, 40):
        write_barcode_video(tmp_path / f"at{fps}.mp4", 4 * fps, fps=fps, size=(SIZE, SIZE))
    for index, fps in enumerate((20, 40)):
        sample = sample_of(tmp_path, PairRequest(index, 0, 2, 1), fps=10)
        assert isinstance(sample, PairSample)
        assert sample.skipped == ()
        steps = np.diff([read_barcode(frame) for frame in sample.query.numpy()])  # type: ignore[arg-type]
        assert (steps / fps == 2 / 10).all()
    (tmp_path / "at20.mp4").unlink()
    write_barcode_video(tmp_path / "at5.mp4", 40, fps=5, size=(SIZE, SIZE))
    sample = sample_of(tmp_path, PairRequest(1, 0, 2, 1), fps=10)
    assert isinstance(sample, PairSample)
    assert {skip.name for skip in sample.skipped} == {"at5.mp4"}
    assert "low frame rate" in sample.skipped[0].reason


def test_repeats_are_told_from_rest() -> None:
    rng = np.random.default_rng(0)
    moving = rng.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    assert repeated_share(moving) == 0
    assert repeated_share(moving[:1]) == 0
    assert repeated_share(moving[[0, 0, 1, 1, 2, 2, 3, 3, 4]]) == 0.5
    assert repeated_share(moving[[0, 0, 0, 1, 1, 1, 2, 2, 2]]) == 0.75
    assert repeated_share(moving[[0] * 9]) == 1
    coded = moving[[0, 0, 1, 1, 2, 2, 3, 3, 4]].astype(int) + rng.integers(-3, 4, moving.shape)
    assert repeated_share(coded.clip(0, 255).astype(np.uint8)) == 0.5
    # A still scene with a little camera noise that ends in a burst: its speed is true.
    resting = np.concatenate([np.repeat(moving[:1], 5, axis=0) // 2 + rng.integers(0, 3, (5, 16, 16, 3)), moving[1:5]])
    assert repeated_share(resting.astype(np.uint8)) < 0.2
