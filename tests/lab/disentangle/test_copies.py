"""Copies differ from their source in what they say they do, and in nothing else."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from rspnet.data.synthetic.procedural import plan_clips, render_frames
from rspnet.lab.disentangle.copies import COPIES, ORIGINAL, Source, copy_path, write_all_copies
from rspnet.video.reader import open_video
from rspnet.video.writer import XVID

FRAMES = render_frames(plan_clips(num_videos=1, seed=0, num_frames=20, size=64)[0])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    write_all_copies(folder, [Source("a", lambda: FRAMES, 25.0, XVID)], workers=0)
    return folder


def read(root, kind):
    with open_video(copy_path(root, kind, "a")) as video:
        return video.frames_at(range(len(video))), video.fps


def picture_types(root, kind):
    with av.open(str(copy_path(root, kind, "a"))) as container:
        return {frame.pict_type for frame in container.decode(video=0)}


def test_lossless_copies_have_the_sources_pixels_and_only_the_rate_differs(root):
    for kind, fps in (("lossless", 25), ("rate", 50)):
        frames, rate = read(root, kind)
        assert np.array_equal(frames, FRAMES)
        assert rate == pytest.approx(fps)


@pytest.mark.parametrize("kind", [ORIGINAL, "x264", "x264-strong", "mpeg4-b", "mpeg4"])
def test_coded_copies_show_the_same_pictures_but_not_the_same_pixels(root, kind):
    frames, _ = read(root, kind)
    error = np.abs(frames.astype(int) - FRAMES).mean(axis=(1, 2, 3))
    assert len(frames) == len(FRAMES)
    assert 0.3 < error.mean() < 12
    apart = np.abs(frames[:-1].astype(int) - FRAMES[1:]).mean(axis=(1, 2, 3))
    assert (error[:-1] < apart).all()  # every picture is nearer to its own source than to the next one


def test_b_frames_are_there_or_not(root):
    assert PictureType.B in picture_types(root, "mpeg4-b")
    assert PictureType.B in picture_types(root, ORIGINAL)
    assert PictureType.B not in picture_types(root, "mpeg4")


@pytest.mark.parametrize("kind", [kind for kind, copy in COPIES.items() if copy.frozen])
def test_frozen_copies_show_one_picture(root, kind):
    frames, _ = read(root, kind)
    change = np.abs(np.diff(frames.astype(int), axis=0)).mean()
    assert change < 1
    assert (change == 0) == (kind == "frozen-lossless")
    assert np.abs(frames[0].astype(int) - FRAMES[10]).mean() < 12


def test_a_complete_set_is_left_alone(root):
    def refuse():
        raise AssertionError

    write_all_copies(root, [Source("a", refuse, 25.0)])
