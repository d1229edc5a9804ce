"""Every file of shared/data/real-clips: the barcode says the truth on the generated ones."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.videos import REAL_CLIPS, decode_plainly, read_barcode

from rspnet.core.errors import DecodeError
from rspnet.video.reader import open_video

pytestmark = pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason=f"{REAL_CLIPS} is missing")

TRICKY = {
    "vfr.mp4": range(90), "rotated90.mp4": range(60), "odd-size.mp4": range(60), "bframes.avi": range(90),
    "vp9.webm": range(60), "edit-list.mp4": range(33, 120), "opengop.mp4": range(96), "mpegts.ts": range(90),
}  # fmt: skip
REAL = {
    "bigbuckbunny.mp4": 132, "bikes.mp4": 250, "carphone_pristine.mp4": 120, "bird.mkv": 63, "eat.mkv": 47,
    "hungry.mkv": 49, "milk.mkv": 51, "thanks.mkv": 51, "yes.mkv": 65, "tree.avi": 68,
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKY)
def test_tricky(name: str) -> None:
    with open_video(REAL_CLIPS / "tricky" / name) as video:
        assert len(video) == len(TRICKY[name])
        order = np.random.default_rng(0).permutation(len(video))
        frames = [video.frames_at([index])[0] for index in order[:30]] + list(video.frames_at(order))
        for index, frame in zip([*order[:30], *order], frames, strict=True):
            coded = np.rot90(frame, -1) if name == "rotated90.mp4" else frame
            assert read_barcode(coded[:, :320]) == TRICKY[name][index]


def test_variable_frame_rate_times() -> None:
    with open_video(REAL_CLIPS / "tricky" / "vfr.mp4") as video:
        i = np.arange(90)
        expected = (i + 10 * (i // 20) + np.maximum(0, i % 20 - 10)) / 30
        np.testing.assert_allclose(video.times, expected, atol=1.1 / 30)
        assert video.fps == pytest.approx(270 / 13, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real(name: str) -> None:
    plain = decode_plainly(REAL_CLIPS / name)
    with open_video(REAL_CLIPS / name) as video:
        assert len(video) == len(plain) == REAL[name]
        order = np.random.default_rng(1).permutation(len(video))[:12]
        for index in order:
            np.testing.assert_array_equal(video.frames_at([index])[0], plain[index])
        for index, frame in zip(order, video.frames_at(order), strict=True):
            np.testing.assert_array_equal(frame, plain[index])


@pytest.mark.parametrize("name", ["empty.mp4", "garbage.mp4", "text.avi", "truncated.mp4", "audio-only.mp4"])
def test_bad_files_cannot_be_opened(name: str) -> None:
    with pytest.raises(DecodeError, match=name):
        open_video(REAL_CLIPS / "bad" / name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sound", "refused"),
    [
        ("two-frames.mp4", range(2), range(0)),
        ("truncated.avi", range(55), range(55, 56)),
        ("corrupt-middle.mp4", [*range(38), *range(60, 90)], range(40, 60)),
    ],
)
def test_bad_files_give_sound_frames_or_an_error(name: str, sound: range | list[int], refused: range) -> None:
    with open_video(REAL_CLIPS / "bad" / name) as video:
        for index in sound:
            assert read_barcode(video.frames_at([index])[0]) == index
        for index in refused:
            with pytest.raises(DecodeError, match=f"frame {index} of {len(video)} is damaged"):
                video.frames_at([index])
