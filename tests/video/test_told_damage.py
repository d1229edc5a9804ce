"""Damage that the codec or the container tells of: frames are right or refused, and sound files lose none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from helpers.videos import VP9, barcode_picture, decode_plainly, read_barcode, shown_by_time, write_barcode_video

from rspnet.core.errors import DecodeError
from rspnet.video.chain import broken_steps
from rspnet.video.demuxing import demux_whole
from rspnet.video.jpeg import is_whole
from rspnet.video.packets import misplaced_packets
from rspnet.video.reader import open_video
from rspnet.video.source import demux, open_container

FRAMES, FPS, SIZE = 24, 30, (64, 48)
KINDS: dict[str, dict[str, Any]] = {
    "h264.flv": {"options": {"bf": "2"}},
    "h264.mkv": {"options": {"bf": "2"}},
    "vp8.webm": {"codec": "libvpx", "options": VP9},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}
TAG_HEAD, TAG_TAIL = 11, 4


def written(folder: Path, name: str, **options: Any) -> Path:
    return write_barcode_video(folder / name, FRAMES, size=SIZE, gop=10, **{**KINDS.get(name, {}), **options})


def spans(path: Path) -> list[tuple[int, int]]:
    """Position of the content and size of every packet."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]


def tags(path: Path) -> list[slice]:
    """Where the tags of an FLV file's pictures lie."""
    data = path.read_bytes()
    lengths = [(at, int.from_bytes(data[at + 1 : at + 4], "big")) for at, _ in spans(path)]
    return [slice(at, at + TAG_HEAD + length + TAG_TAIL) for at, length in lengths]


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    other = path.with_name(f"changed {path.name}")
    other.write_bytes(change(path.read_bytes()))
    return other


def marked(path: Path) -> list[int]:
    """The packets that something tells damage of."""
    container, stream = open_container(path)
    with container:
        found = demux_whole(path, container, stream, has_stamps=True)
    return [number for number, row in enumerate(found.rows) if row.is_cut]


def wrong_frames(path: Path, right: list[Any]) -> int:
    """How many frames are shown that are not near the undamaged picture of their number."""
    wrong = 0
    try:
        video = open_video(path)
    except DecodeError:
        return 0
    with video:
        for index in range(len(video)):
            try:
                frame = video.frames_at([index])[0]
            except DecodeError:
                continue
            code = read_barcode(frame)
            wrong += code is None or code >= FRAMES or int(np.abs(frame.astype(int) - right[code]).max()) > 40
    return wrong


@pytest.mark.parametrize("lost", range(1, FRAMES))
def test_a_tag_lost_from_an_flv_never_shows_wrong_frames(tmp_path: Path, lost: int) -> None:
    path = written(tmp_path, "h264.flv")
    tag = tags(path)[lost]
    cut = changed(path, lambda data: data[: tag.start] + data[tag.stop :])
    read, refused = shown_by_time(cut, fps=FPS)
    assert len(read) + len(refused) == FRAMES - 1
    assert wrong_frames(cut, decode_plainly(path)) == 0


def test_tags_that_come_twice_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "h264.flv", options={"bf": "0"})
    twice = tags(path)[3:9]
    piece = slice(twice[0].start, twice[-1].stop)
    repeated = changed(path, lambda data: data[: piece.stop] + data[piece])
    assert set(marked(repeated)) >= set(range(9, 15)) or set(marked(repeated)) >= set(range(3, 9))


@pytest.mark.parametrize("name", KINDS)
def test_the_packet_that_lost_a_piece_is_not_shown(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    at, size = spans(path)[14]
    cut = changed(path, lambda data: data[: at + size // 2] + data[at + size // 2 + 5 :])
    assert marked(path) == []
    assert 14 in marked(cut)
    assert wrong_frames(cut, decode_plainly(path)) == 0


def test_what_follows_a_gap_in_motion_jpeg_is_another_recording(tmp_path: Path) -> None:
    path = written(tmp_path, "mjpeg.avi")
    (at, size), (following, _) = spans(path)[10], spans(path)[12]
    with open_video(path) as video:
        assert video.joints == []
    with open_video(changed(path, lambda data: data[: at + size // 2] + data[following + 3 :])) as video:
        assert len(video.joints) == 1
        after = video.joints[0]
        codes = [read_barcode(frame) for frame in video.frames_at([after, after + 1])]
        assert codes == [13, 14]
        assert video.times[after] - video.times[after - 1] > 5 / FPS


def test_a_changed_bit_in_vp9_is_nearly_always_told(tmp_path: Path) -> None:
    path = written(tmp_path, "vp9.webm", codec="libvpx-vp9", options=VP9)
    right, places = decode_plainly(path), spans(path)
    assert wrong_frames(path, right) == 0
    hit = 0
    for case in range(30):
        rng = np.random.default_rng(case)
        at, size = places[int(rng.integers(FRAMES))]
        place = at + 4 + int(rng.integers(size))

        def flip(data: bytes, place: int = place, bit: int = int(rng.integers(8))) -> bytes:
            return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]

        hit += wrong_frames(changed(path, flip), right) > 0
    assert hit <= 3  # FFmpeg's own decoder shows wrong frames in 27 of 30


def test_hashes_in_hevc_are_looked_at(tmp_path: Path) -> None:
    params = "log-level=none:pools=none:hash=1"
    path = written(tmp_path, "hash.mp4", codec="libx265", options={"x265-params": params})
    right, places = decode_plainly(path), spans(path)
    assert wrong_frames(path, right) == 0
    for number in range(0, FRAMES, 3):
        at, size = places[number]
        place = at + 2 * size // 3
        flipped = changed(path, lambda data, at=place: data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        assert wrong_frames(flipped, right) == 0


@pytest.mark.parametrize("ending", ["flv", "mkv", "ts", "avi"])
@pytest.mark.parametrize(
    "params",
    [
        "bframes=3:b-pyramid=normal:open-gop=1",
        "interlaced=1:bframes=2",
        "bframes=0:intra-refresh=1:keyint=infinite",
        "slices=3:ref=5:cqm=jvt",
        "cabac=0:bframes=0:ref=1",
    ],
)
def test_the_count_of_sound_h264_goes_on(tmp_path: Path, ending: str, params: str) -> None:
    path = written(tmp_path, f"x.{ending}", options={"x264-params": params})
    assert marked(path) == []
    with open_video(path) as video:
        assert [read_barcode(frame) for frame in video.frames_at(range(FRAMES))] == list(range(FRAMES))


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p10le"])
def test_parameter_sets_of_high_profiles_are_read(tmp_path: Path, pix_fmt: str) -> None:
    path = written(tmp_path, "h264.flv" if pix_fmt == "yuv444p" else "h264.mkv", pix_fmt=pix_fmt)
    assert marked(path) == []
    if path.suffix == ".flv":
        tag = tags(path)[4]
        assert marked(changed(path, lambda data: data[: tag.start] + data[tag.stop :]))


@pytest.mark.parametrize("name", ["avi", "flv", "mkv", "webm"])
def test_sound_between_the_pictures_breaks_no_chain(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"sound.{name}"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libvpx" if name == "webm" else "libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio: Any = container.add_stream({"webm": "libopus", "mkv": "flac"}.get(name, "aac"), rate=48000)
        for index in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_ndarray(barcode_picture(index, size=SIZE), format="rgb24")))
            samples = np.zeros((1, 2 * 1600), np.int16)
            sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            sound.sample_rate, sound.pts = 48000, 1600 * index
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    with av.open(str(path)) as container:
        steps = broken_steps(path, container.format.name, spans(path))
    assert steps == set()
    assert marked(path) == []


def test_a_stream_that_pyav_did_not_know_at_opening_ends_nothing(tmp_path: Path) -> None:
    class Opened:
        """As PyAV's: it raises this behind the last packet where damage made FFmpeg see another stream."""

        def __init__(self, container: Any) -> None:
            self.container, self.format = container, container.format

        def demux(self, stream: Any) -> Iterator[Any]:
            yield from self.container.demux(stream)
            raise IndexError("list index out of range")

    container, stream = open_container(written(tmp_path, "x.ts"))
    with container:
        assert len(list(demux(tmp_path, cast(Any, Opened(container)), stream))) == FRAMES


def test_jpegs_without_their_end_are_read_where_that_is_the_encoders_way(tmp_path: Path) -> None:
    path = written(tmp_path, "mjpeg.avi")
    right, places = decode_plainly(path), spans(path)

    def endless(data: bytes) -> bytes:
        for at, size in places:
            whole = data[at : at + size]
            assert is_whole(whole)
            end = at + whole.rindex(b"\xff\xd9")
            data = data[:end] + bytes(2) + data[end + 2 :]
        return data

    cut = changed(path, endless)
    assert marked(cut) == []
    assert wrong_frames(cut, right) == 0


@pytest.mark.parametrize(
    ("stamps", "joints", "expected"),
    [
        ([0, 1, 2, 3], [], set()),
        ([0, 1, 2, 1, 2, 3, 4], [], {1, 2}),
        ([0, 1, 900, 2, 3, 4], [], {2}),
        ([0, 1, 2, 7, 8, 9, 3, 4, 5, 6, 10], [], {3, 4, 5}),
        ([5, 6, 7, 0, 1, 2], [3], set()),
        ([0, None, 2, None, 4], [], set()),
        ([5, 4, 3, 2, 1], [], set()),
        ([], [], set()),
    ],
)
def test_packets_out_of_their_place(stamps: list[int | None], joints: list[int], expected: set[int]) -> None:
    assert misplaced_packets(stamps, joints=joints, slack=0) == expected
