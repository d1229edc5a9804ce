"""The packed bitstream of DivX and XviD: one frame a picture, as FFmpeg shows them, and refused where damage is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.fuzz import mutated
from helpers.packed import DIVX, PACKED, XVID, Chunk, packed, read_chunks, write_avi, write_packed_video
from helpers.videos import (
    FRAMES,
    REAL_CLIPS,
    decode_plainly,
    read_barcode,
    shown_by_time,
    write_barcode_video,
    write_video,
)

from rspnet.cli import main
from rspnet.core.errors import DecodeError
from rspnet.video.probe import probe_video
from rspnet.video.reader import open_video
from rspnet.video.transcode import transcode_video

FPS = 30
TINY = (64, 48)
LENGTH = 24
XVID_CLIPS = REAL_CLIPS / "xvid"
INTERACTION = REAL_CLIPS.parent / "real" / "ut-interaction"


@pytest.mark.parametrize("b_frames", [0, 1, 2, 3])
@pytest.mark.parametrize("signature", [XVID, DIVX])
@pytest.mark.parametrize("one_byte_at", [(), (0,), (1,), (0, 1, 9)])
def test_every_picture_is_a_frame(
    tmp_path: Path, b_frames: int, signature: bytes, one_byte_at: tuple[int, ...]
) -> None:
    path = write_packed_video(
        tmp_path / "a.avi", LENGTH, size=TINY, b_frames=b_frames, signature=signature, one_byte_at=one_byte_at
    )
    assert len(read_chunks(path)) == LENGTH + len(one_byte_at)
    plain = decode_plainly(path)
    with open_video(path) as video:
        assert len(video) == len(plain) == LENGTH
        assert video.is_packed == (b_frames > 0)
        np.testing.assert_allclose(video.times * FPS, np.arange(LENGTH), atol=1e-6)
        for index in np.random.default_rng(0).permutation(LENGTH):
            frame = video.frames_at([index])[0]
            assert read_barcode(frame) == index
            np.testing.assert_array_equal(frame, plain[index])
        np.testing.assert_array_equal(video.frames_at(range(LENGTH)), plain)


def test_a_file_without_a_signature_is_not_taken_apart(tmp_path: Path) -> None:
    """Nor does FFmpeg: whatever the second picture of a chunk is there, it is none of the video's."""
    path = write_packed_video(tmp_path / "a.avi", LENGTH, size=TINY, signature=b"\0\0\1\xb2Mine")
    with open_video(path) as video:
        assert not video.is_packed
        assert len(video) < LENGTH


def test_a_b_picture_as_small_as_a_place_holder_is_shown(tmp_path: Path) -> None:
    """The pictures stand still, so that B pictures take a few bytes; FFmpeg's filter drops what it takes them for."""
    pictures = [np.full((48, 64, 3), 40 + 60 * (index // 8), np.uint8) for index in range(LENGTH)]
    path = write_video(tmp_path / "a.avi", pictures, codec="mpeg4", options={"bf": "2", "b_strategy": "0", "g": "12"})
    signed = [Chunk(chunk.data.replace(b"Lavc", b"Lavx"), chunk.is_key) for chunk in read_chunks(path)]
    signed[0] = Chunk(signed[0].data.replace(b"\0\0\1\xb6", XVID + b"\0\0\1\xb6"), is_key=True)
    write_avi(path, packed(signed, FPS), fps=FPS, size=TINY)
    assert sum(7 < len(chunk.data) < 20 for chunk in read_chunks(path)) > 5
    plain = decode_plainly(path)
    with open_video(path) as video:
        assert len(video) == len(plain) == LENGTH
        np.testing.assert_array_equal(video.frames_at(range(LENGTH)), plain)


@pytest.mark.parametrize("b_frames", [1, 2, 3])
def test_pictures_whose_place_the_end_cuts_off(tmp_path: Path, b_frames: int) -> None:
    """Real files end so, and FFmpeg does not show the last picture of theirs; the times tell that it is missing."""
    path = write_packed_video(tmp_path / "a.avi", LENGTH, size=TINY, b_frames=b_frames, gop=100)
    whole = read_chunks(path)
    gaps = 0
    for count in range(LENGTH // 2, LENGTH):
        write_avi(path, whole[:count], fps=FPS, size=TINY)
        plain = decode_plainly(path)
        with open_video(path) as video:
            np.testing.assert_array_equal(video.frames_at(range(len(video))), plain)
            periods = np.rint(video.times * FPS).astype(int).tolist()
            assert [read_barcode(frame) for frame in plain] == periods
            gaps += periods != list(range(len(periods)))
    assert gaps > 0


@pytest.mark.parametrize("b_frames", [1, 2, 3])
def test_a_lost_chunk_never_shows_wrong_frames(tmp_path: Path, b_frames: int) -> None:
    path = write_packed_video(tmp_path / "a.avi", LENGTH, size=TINY, b_frames=b_frames, gop=10)
    chunks = read_chunks(path)
    for lost in range(LENGTH):
        write_avi(path, chunks[:lost] + chunks[lost + 1 :], fps=FPS, size=TINY)
        read, refused = shown_by_time(path, fps=FPS)
        assert LENGTH - 2 <= len(read) + len(refused) <= LENGTH
        assert len(refused) < 14


def test_a_lost_place_holder_costs_nothing(tmp_path: Path) -> None:
    path = write_packed_video(tmp_path / "a.avi", LENGTH, size=TINY, gop=10)
    chunks = read_chunks(path)
    holders = [place for place, chunk in enumerate(chunks[:-2]) if len(chunk.data) < 8]
    assert len(holders) > 4
    write_avi(path, [chunk for place, chunk in enumerate(chunks) if place not in holders], fps=FPS, size=TINY)
    assert shown_by_time(path, fps=FPS) == ([*range(LENGTH - 2), LENGTH - 1], set())  # as where the end cuts one off


@pytest.mark.slow
def test_damaged_files_show_the_right_frames_or_none(tmp_path: Path) -> None:
    sources = [
        write_packed_video(tmp_path / name, LENGTH, size=TINY, gop=10, **options).read_bytes()
        for name, options in PACKED.items()
    ]
    outcomes = {"read": 0, "refused": 0}
    wrong = 0
    for case in range(150):
        path = tmp_path / "case.avi"
        path.write_bytes(mutated(sources[case % len(sources)], np.random.default_rng([15, case])))
        try:
            with open_video(path) as video:
                for index in range(len(video)):
                    try:
                        wrong += read_barcode(video.frames_at([index])[0]) is None
                        outcomes["read"] += 1
                    except DecodeError:
                        outcomes["refused"] += 1
        except DecodeError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 150, outcomes
    assert wrong < 0.02 * outcomes["read"], (wrong, outcomes)


def test_the_doctor_names_them(tmp_path: Path, make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("packed.avi", "packed-no-b.avi"):
        (folder / name).write_bytes(make(name)[0].read_bytes())
    assert main(["doctor", str(folder), "--out", str(tmp_path / "out"), "--num-frames", "4", "--num-workers", "1"]) == 1
    (first, second) = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (first["name"], first["frames"], first["findings"]) == ("packed-no-b.avi", FRAMES, [])
    (finding,) = second["findings"]
    assert (second["frames"], finding["kind"], finding["usable"]) == (FRAMES, "packed", True)
    assert "packed" in capsys.readouterr().out
    assert probe_video(folder / "packed.avi").codec == "mpeg4"


@pytest.mark.parametrize("name", PACKED)
def test_they_can_be_transcoded(make: Any, tmp_path: Path, name: str) -> None:
    transcode_video(make(name)[0], tmp_path / "new.mp4", short_side=240, key_every=16, crf=20)
    with open_video(tmp_path / "new.mp4") as video:
        assert not video.is_packed
        assert [read_barcode(frame) for frame in video.frames_at(range(FRAMES))] == list(range(FRAMES))


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        pytest.param(sorted(XVID_CLIPS.glob("*.avi")), id="ucf101-and-hmdb51"),
        pytest.param(sorted(INTERACTION.rglob("*.avi"))[::25], id="ut-interaction"),  # `make corpus` reads all
    ],
)
def test_real_files(files: list[Path]) -> None:
    if not files:
        pytest.skip("the files are not here")
    for file in files:
        plain = decode_plainly(file)
        with open_video(file) as video:
            assert len(video) == len(plain), file
            np.testing.assert_array_equal(video.frames_at(range(len(video))), plain)
            for index in np.random.default_rng(0).permutation(len(video))[:6]:
                np.testing.assert_array_equal(video.frames_at([index])[0], plain[index])
            assert (np.rint(np.diff(video.times) * video.fps) == 1)[:-1].all(), file


def test_no_barcode_file_is_taken_for_packed(tmp_path: Path) -> None:
    with open_video(write_barcode_video(tmp_path / "a.avi", LENGTH, size=TINY, codec="mpeg4")) as video:
        assert not video.is_packed
