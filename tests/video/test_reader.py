"""Frame-exactness on files the tests encode themselves, and the errors."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.packed import PACKED
from helpers.videos import (
    FILES,
    FRAMES,
    barcode_picture,
    decode_plainly,
    read_barcode,
    with_display_matrix,
    write_barcode_video,
    write_video,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.video import demuxing, packet_cursor, source
from rspnet.video.reader import View, open_video


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, *PACKED])
def test_every_frame_alone_and_all_together(make: Any, name: str) -> None:
    path, plain = make(name)
    turns = FILES.get(name, {}).get("rotation", 0) // 90
    with open_video(path) as video:
        assert len(video) == FRAMES == len(plain)
        assert (video.height, video.width) == plain[0].shape[:2]
        everything = video.frames_at(range(FRAMES))
        for index in reversed(range(FRAMES)):
            frame = video.frames_at([index])[0]
            assert read_barcode(np.rot90(frame, -turns)) == index
            np.testing.assert_array_equal(frame, plain[index])
            np.testing.assert_array_equal(frame, everything[index])


def test_times_and_fps(make: Any) -> None:
    with open_video(make("vfr.mp4")[0]) as video:
        np.testing.assert_allclose(video.times, np.array(FILES["vfr.mp4"]["times"]) / 30, atol=1e-3)
    with open_video(make("bframes.avi")[0]) as video:
        assert video.fps == pytest.approx(30)
        np.testing.assert_allclose(video.times, np.arange(FRAMES) / 30, atol=1e-6)


@pytest.mark.parametrize("name", ["bframes.avi", "opengop.mp4", "opengop.mkv", "hidden.webm", "stream.ts", *PACKED])
def test_random_access_equals_sequential(make: Any, name: str) -> None:
    path, plain = make(name)

    @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.lists(st.integers(0, FRAMES - 1), max_size=8), min_size=1, max_size=3))
    def check(requests: list[list[int]]) -> None:
        with open_video(path) as video:
            for request in requests:
                got = video.frames_at(request)
                assert got.shape[0] == len(request)
                for frame, index in zip(got, request, strict=True):
                    np.testing.assert_array_equal(frame, plain[index])

    check()


def test_long_streams_are_demuxed_again(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demuxing, "KEEP_BYTES", 1000)
    path, plain = make("opengop.mp4")
    with open_video(path) as video:
        assert video._kept is None
        for index in (35, 3, 20):
            np.testing.assert_array_equal(video.frames_at([index])[0], plain[index])


@pytest.mark.parametrize("kept", [1000, 2**20])
@pytest.mark.parametrize("name", ["opengop.mp4", "bframes.mp4"])
def test_a_long_stream_read_forward_is_demuxed_once(
    make: Any, name: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demuxing, "KEEP_BYTES", 1000)
    monkeypatch.setattr(packet_cursor, "KEEP_BYTES", kept)
    path, plain = make(name)
    demuxed = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal demuxed
        for packet in source.demux(*arguments, **options):
            demuxed += 1
            yield packet

    monkeypatch.setattr(packet_cursor, "demux", counted)
    with open_video(path) as video:
        for first in range(0, FRAMES - 6, 3):  # overlapping pieces
            np.testing.assert_array_equal(video.frames_at(range(first, first + 6)), plain[first : first + 6])
        if kept > 1000:
            assert demuxed <= FRAMES
        np.testing.assert_array_equal(video.frames_at([2])[0], plain[2])
        np.testing.assert_array_equal(video.frames_at([30])[0], plain[30])


def test_colours_of_limited_and_full_range(tmp_path: Path) -> None:
    flat = [np.full((64, 64, 3), (200, 60, 90), np.uint8)] * 3
    for codec, pix_fmt in (("libx264", "yuv420p"), ("libx264", "yuvj420p"), ("mjpeg", "yuvj420p")):
        path = write_video(tmp_path / f"{codec}-{pix_fmt}.mkv", flat, codec=codec, pix_fmt=pix_fmt)
        with open_video(path) as video:
            error = np.abs(video.frames_at([1])[0].astype(int) - flat[0]).max()
        assert error <= 6, (codec, pix_fmt, error)


@pytest.mark.parametrize("index", [-1, FRAMES, 10**9])
def test_index_out_of_range(make: Any, index: int) -> None:
    with open_video(make("bframes.mp4")[0]) as video, pytest.raises(RSPNetError, match=r"out of range.*40 frames"):
        video.frames_at([0, index])


@pytest.mark.parametrize(
    "indices", [[1.5], ["1"], "1", [[0, 1]], [None], [True, False], torch.tensor([True, False]), np.ones(3), np.eye(99)]
)
def test_only_whole_numbers_are_indices(make: Any, indices: Any) -> None:
    with open_video(make("bframes.mp4")[0]) as video, pytest.raises(RSPNetError, match="must be whole numbers") as said:
        video.frames_at(indices)
    assert "\n" not in str(said.value)
    assert len(str(said.value)) < 200


def test_no_frames_asked(make: Any) -> None:
    with open_video(make("bframes.mp4")[0]) as video:
        assert video.frames_at([]).shape == (0, 240, 320, 3)


def test_odd_names(make: Any, tmp_path: Path) -> None:
    source = make("bframes.mp4")[0]
    for name in (b"with space \xff\xfe.mp4", "concat:é%d.mp4".encode(), b"-x\n.mp4"):
        target = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))  # noqa: PTH118
        Path(target).write_bytes(source.read_bytes())
        for path in (target, Path(target)):
            with open_video(path) as video:
                assert read_barcode(video.frames_at([7])[0]) == 7


def test_refused_files(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "garbage.mkv").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "text.avi").write_text("no video at all\n" * 100)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nother.ts\n")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, why in {
        "missing.mp4": "No such file", "empty.mp4": "empty", "garbage.mkv": "container", "text.avi": "container",
        "list.mp4": "container", "pipe.mp4": "regular", ".": "folder", "nul\0.mp4": "null",
    }.items():  # fmt: skip
        with pytest.raises(DecodeError, match=why) as caught:
            open_video(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_error_pickles(tmp_path: Path) -> None:
    with pytest.raises(DecodeError) as caught:
        open_video(tmp_path / "missing.mp4")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.path) == (DecodeError, str(caught.value), caught.value.path)


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_barcode_video(tmp_path / "huge.avi", 2, codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    start = data.index(b"\xff\xc0") + 5  # SOF0: marker, length, precision, height, width
    data = data.replace(data[start : start + 4], b"\xff\xff\xff\xff")
    path.write_bytes(data)
    with pytest.raises(DecodeError):
        open_video(path).frames_at([0])


def test_damage_is_named_and_the_rest_is_read(make: Any, tmp_path: Path) -> None:
    path, plain = make("bframes.avi")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    broken = tmp_path / "broken.avi"
    broken.write_bytes(data)
    named: list[bool] = []
    with open_video(broken) as video:
        assert len(video) in (FRAMES - 1, FRAMES)
        for index in (*range(10), *range(len(video) - 6, len(video))):
            expected = index + FRAMES - len(video) if index > FRAMES // 2 else index
            np.testing.assert_array_equal(video.frames_at([index])[0], plain[expected])
        for index in range(len(video)):
            try:
                video.frames_at([index])
            except DecodeError as error:
                named.append(f"frame {index} of" in str(error))
    assert all(named)
    assert 1 <= len(named) <= 16


@pytest.mark.slow
def test_mutated_files_never_crash(make: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(3)
    outcomes = {"read": 0, "refused": 0}
    for name in ("bframes.avi", "packed.avi", "opengop.mp4", "hidden.webm", "stream.ts"):
        original = make(name)[0].read_bytes()
        for number in range(12):
            data = bytearray(original)
            at = int(generator.integers(0, len(data) if number % 2 else 600))
            data[at : at + 64] = generator.bytes(64)
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(data[: None if number % 3 else int(generator.integers(len(data)))])
            try:
                with open_video(path) as video:
                    video.read_views([View(range(len(video)), size=(32, 32))])
                outcomes["read"] += 1
            except DecodeError:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 0, outcomes
    assert capfd.readouterr() == ("", "")


def test_no_descriptor_leaks(make: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    path = make("bframes.mp4")[0]
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(300):
        with open_video(path):
            pass
        with pytest.raises(DecodeError):
            open_video(tmp_path / "bad.mp4")
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208


def test_the_barcode_tells_frames_apart() -> None:
    assert [read_barcode(barcode_picture(i)) for i in (0, 1, 255, 65535)] == [0, 1, 255, 65535]
    assert read_barcode(np.zeros((64, 320, 3), np.uint8)) is None


MIRRORS = {
    # (a, b, c, d) of the display matrix (y downwards) and what it does to a picture.
    (-1, 0, 0, 1): lambda picture: picture[:, ::-1],
    (1, 0, 0, -1): lambda picture: picture[::-1],
    (0, 1, 1, 0): lambda picture: picture.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda picture: picture[::-1, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("size", [(320, 240), (960, 720)])
@pytest.mark.parametrize("matrix", MIRRORS)
def test_mirrored_display_matrices(tmp_path: Path, matrix: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    plain = write_barcode_video(tmp_path / "plain.mp4", 4, size=size, options={"preset": "ultrafast"})
    a, b, c, d = (65536 * value for value in matrix)
    mirrored = tmp_path / "mirrored.mp4"
    mirrored.write_bytes(with_display_matrix(plain.read_bytes(), [a, b, 0, c, d, 0, 0, 0, 1 << 30]))
    with open_video(plain) as straight, open_video(mirrored) as video:
        turned = MIRRORS[matrix](straight.frames_at([2])[0])
        np.testing.assert_array_equal(video.frames_at([2])[0], turned)
        assert (video.height, video.width) == turned.shape[:2]
        box = (40, 22, 120, 150)
        whole = [View([2], box=box), View([2], box=box, flip=True), View([2], box=box, size=(60, 75))]
        crop, flipped, small = (clip[0] for clip in video.read_views(whole))
    np.testing.assert_array_equal(crop, turned[40:160, 22:172])
    np.testing.assert_array_equal(flipped, crop[:, ::-1])
    halved = crop.reshape(60, 2, 75, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - halved).mean() < 6


def test_a_skewed_display_matrix_is_refused(tmp_path: Path) -> None:
    path = write_barcode_video(tmp_path / "skew.mp4", 3)
    path.write_bytes(with_display_matrix(path.read_bytes(), [46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30]))
    with open_video(path) as video, pytest.raises(DecodeError, match="no multiple of 90"):
        video.frames_at([0])


def test_a_closed_video_says_so(make: Any) -> None:
    video = open_video(make("bframes.mp4")[0])
    video.close()
    video.close()
    for read in (lambda: video.frames_at([0]), lambda: video.read_views([]), lambda: video.width):
        with pytest.raises(RSPNetError, match=r"bframes.mp4' is closed: read inside its `with` block"):
            read()


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_p_frame_that_claims_to_be_unused_is_not_left_out(tmp_path: Path, codec: str) -> None:
    path = write_barcode_video(tmp_path / "sound.mp4", FRAMES, codec=codec, options={"bf": "2"})
    plain = decode_plainly(path)
    with open_video(path) as video:
        table, coded = video._table, [bytes(packet) for packet in video._kept or ()]
    broken = tmp_path / "lying.mp4"
    named = 0
    for number, packet in enumerate(coded[:12]):
        if table.is_reordered[number] or table.packets[number].is_key:
            continue
        lying = bytearray(packet)
        if codec == "mpeg4":  # VOP header: coding type 1 (P) becomes 2 (B)
            at = packet.index(b"\0\0\1\xb6") + 4
            assert packet[at] >> 6 == 1
            lying[at] ^= 0xC0
        else:  # NAL header: nal_ref_idc becomes 0
            assert packet[4] & 0x1F == 1
            lying[4] &= 0x9F
        broken.write_bytes(path.read_bytes().replace(packet, lying))
        with open_video(broken) as video:
            for index in range(15):
                try:
                    np.testing.assert_array_equal(video.frames_at([index])[0], plain[index])
                except DecodeError as error:
                    named += f"frame {index} of {FRAMES} is damaged" in str(error)
    assert named > 0


def test_frames_without_their_key_frame_are_damaged(make: Any, tmp_path: Path) -> None:
    path = make("bframes.avi")[0]
    with open_video(path) as video:
        first = bytes((video._kept or ())[0])
    broken = tmp_path / "beheaded.avi"
    broken.write_bytes(path.read_bytes().replace(b"00dc" + len(first).to_bytes(4, "little") + first, b"JUNK" * 2))
    with open_video(broken) as video:
        sound = []
        for index in range(len(video)):
            try:
                assert read_barcode(video.frames_at([index])[0]) == index + FRAMES - len(video)
                sound.append(index)
            except DecodeError:
                continue
        assert 0 < len(sound) < len(video)
        assert sound[0] >= 9
