"""The packet tables kept on disk: the same frames with them and without, and never trusted over the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packed import PACKED
from helpers.videos import FILES, FRAMES, REAL_CLIPS, barcode_picture, read_barcode, write_video
from helpers.videos import write_barcode_video as write

from rspnet.core.errors import DecodeError
from rspnet.video import index_cache, reader
from rspnet.video.index_cache import VARIABLE, PacketPlace, entry_path, keep_index, load_index
from rspnet.video.reader import VideoReader, open_video


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every file is kept at once, and sought in whatever its length."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(reader, "LONG_PACKETS", 1)
    monkeypatch.setattr(index_cache, "_NEAR_PACKETS", 0)
    monkeypatch.setattr(index_cache, "_SETTLED_SECONDS", -1e9)
    return tmp_path / "cache"


def kept(path: Path) -> bool:
    """Whether the next opening will take the table from the disk."""
    return load_index(path) is not None


@pytest.mark.parametrize("name", [*FILES, *PACKED])
def test_the_same_frames_with_a_kept_table(make: Any, cache: Path, name: str) -> None:
    path, plain = make(name)
    with open_video(path) as first:
        assert first._index is None
        times, fps, is_packed = first.times, first.fps, first.is_packed
    order = np.random.default_rng(0).permutation(FRAMES)
    with open_video(path) as video:
        assert video._index is not None
        assert (video.fps, video.is_packed) == (fps, is_packed)
        np.testing.assert_array_equal(video.times, times)
        for index in order[:6]:
            np.testing.assert_array_equal(video.frames_at([index])[0], plain[index])
        for index, frame in zip(order, video.frames_at(order), strict=True):
            np.testing.assert_array_equal(frame, plain[index])


@pytest.mark.slow
@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason=f"{REAL_CLIPS} is missing")
def test_real_clips_give_the_same_frames_or_the_same_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("tricky", "bad"):
        for path in sorted((REAL_CLIPS / folder).iterdir()):
            monkeypatch.delenv(VARIABLE)
            plainly = list(_frames_or_errors(path))
            monkeypatch.setenv(VARIABLE, str(cache))
            assert list(_frames_or_errors(path)) == plainly
            assert kept(path) == (len(plainly) > 1)
            assert list(_frames_or_errors(path)) == plainly


def _frames_or_errors(path: Path) -> Iterator[bytes | str]:
    try:
        video = open_video(path)
    except DecodeError as error:
        yield str(error)
        return
    with video:
        for index in np.random.default_rng(0).permutation(len(video))[:8]:
            try:
                yield video.frames_at([index]).tobytes()
            except DecodeError as error:
                yield str(error)


def test_only_what_is_slow_to_open_is_kept(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "_SETTLED_SECONDS", -1e9)
    for name, slow in (("bframes.mp4", False), ("bframes.avi", False), ("h264.avi", True)):
        path, plain = make(name)
        open_video(path).close()
        assert kept(path) == slow
    monkeypatch.setattr(VideoReader, "_scan", lambda *_: pytest.fail("decoded everything again"))
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frames_at([30])[0], plain[30])


def test_a_seek_spares_the_packets_before(make: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demuxed: list[int] = []
    demux = index_cache.demux

    def watched(*arguments: Any, **options: Any) -> Iterator[Any]:
        for packet in demux(*arguments, **options):
            demuxed.append(packet.size)
            yield packet

    monkeypatch.setattr(index_cache, "demux", watched)
    for name in ("bframes.avi", "packed.avi", "packed-three-b.avi", "bframes.mp4", "hidden.webm"):
        path, plain = make(name)
        open_video(path).close()
        with open_video(path) as video:
            assert video.width == plain[0].shape[1]  # by the first frame
            demuxed.clear()
            np.testing.assert_array_equal(video.frames_at([FRAMES - 2])[0], plain[FRAMES - 2])
        assert 0 < len(demuxed) < FRAMES - 10


def test_a_seek_that_leads_elsewhere_costs_time_only(make: Any, cache: Path) -> None:
    path, plain = make("bframes.mp4")
    with open_video(path) as video:
        table = video._table
    index = load_index(path)
    assert index is not None
    places = index.places.copy()
    places[:, 2] = places[::-1, 2]
    keep_index(path, table, [PacketPlace(*row) for row in places.tolist()])
    with open_video(path) as video:
        for frame in (35, 3, 20):
            np.testing.assert_array_equal(video.frames_at([frame])[0], plain[frame])


def test_damaged_and_foreign_entries_are_made_anew(make: Any, cache: Path) -> None:
    path, plain = make("h264.avi")
    other, _ = make("bframes.avi")
    for video in (path, other):
        open_video(video).close()
    sound, foreign = entry_path(path).read_bytes(), entry_path(other).read_bytes()
    swapped = np.frombuffer(sound, np.int64).copy()
    swapped[[-3, -9]] = swapped[[-9, -3]]  # two frames change places
    flipped = [bytearray(sound) for _ in range(5)]
    for number, entry in enumerate(flipped):
        entry[number * (len(entry) - 1) // 4] ^= 4
    for bad in (b"", sound[:20], sound[:-8], sound + bytes(8), foreign, swapped.tobytes(), *map(bytes, flipped)):
        entry_path(path).write_bytes(bad)
        with open_video(path) as again:
            assert again._index is None
            np.testing.assert_array_equal(again.frames_at([33])[0], plain[33])
        assert entry_path(path).read_bytes() == sound


def test_a_file_replaced_in_place_with_its_size_and_time_kept(tmp_path: Path, cache: Path) -> None:
    """By its time of change, or, where even that is the same, by where its packets lie."""
    path = write(tmp_path / "a.mp4", 30)
    later = write_video(tmp_path / "b.mp4", (barcode_picture(100 + index) for index in range(30)), options={"g": "9"})
    sizes = [path.stat().st_size, later.stat().st_size]
    for file, size in zip((path, later), sizes, strict=True):
        padding = max(sizes) - size + 16
        file.write_bytes(file.read_bytes() + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8))
    with open_video(path) as video:
        table = video._table
    index = load_index(path)
    assert index is not None
    times = path.stat()
    path.write_bytes(later.read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert not kept(path)
    keep_index(path, table, [PacketPlace(*row) for row in index.places.tolist()])  # what the old file had
    assert kept(path)
    with open_video(path) as video, pytest.raises(DecodeError, match=r"did not fit and is removed: read it again"):
        video.frames_at([20])
    with open_video(path) as video:
        assert [read_barcode(frame) for frame in video.frames_at([20, 3])] == [120, 103]


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(reader, "LONG_PACKETS", 1)
    path = write(tmp_path / "new.mp4", 3)
    open_video(path).close()
    assert not kept(path)


def test_a_folder_that_cannot_be_written_is_a_warning(make: Any, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    path, plain = make("h264.avi")
    with pytest.warns(UserWarning, match=rf"{VARIABLE}: cannot write '{cache}/.*Not a directory|File exists"):
        video = open_video(path)
    with video:
        np.testing.assert_array_equal(video.frames_at([7])[0], plain[7])
