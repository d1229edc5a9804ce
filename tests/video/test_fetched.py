"""Videos behind URLs: the same frames as from disk, from few bytes where the container allows."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.stores import counted, forget_blocks, in_memory
from helpers.videos import REAL_CLIPS

import rspnet
from rspnet.core.errors import DecodeError
from rspnet.video import header_index
from rspnet.video.header_index import HeaderIndex
from rspnet.video.probe import is_cut_off, probe_video
from rspnet.video.reader import VIDEO_SUFFIXES, open_video

CLIPS = sorted(path for path in REAL_CLIPS.rglob("*") if path.suffix in VIDEO_SUFFIXES)


@pytest.fixture(params=[True, False], ids=["by header", "whole"])
def by_header(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(header_index, "HOLLOW_FROM_BYTES", 0 if request.param else 2**40)
    return bool(request.param)


def look(name: str | Path) -> tuple[object, ...]:
    """Everything that reading a video tells, or why it cannot be read."""
    try:
        with open_video(name) as video:
            facts = (len(video), video.fps, video.times.tobytes(), video.height, video.width)
            frames = []
            for indices in ([len(video) // 2], range(len(video) - 1, -1, -5), range(0, len(video), 7)):
                try:
                    frames.append(video.frames_at(indices).tobytes())
                except DecodeError as error:
                    frames.append(error.why.encode())
            return *facts, *frames
    except DecodeError as error:
        return (error.why,)


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS, reason=f"{REAL_CLIPS} is missing")
@pytest.mark.parametrize("path", CLIPS, ids=[path.name for path in CLIPS])
def test_the_same_as_from_disk(path: Path, by_header: bool) -> None:
    url = in_memory(f"clips/{path.name}", path.read_bytes())
    assert look(url) == look(path)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 16 MB: the packets of bigbuckbunny twenty times over."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(str(REAL_CLIPS / "bigbuckbunny.mp4")) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        assert stream.duration is not None
        for repeat in range(20):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.pts, again.dts = (int(t or 0) + repeat * stream.duration for t in (packet.pts, packet.dts))
                again.is_keyframe, again.stream = packet.is_keyframe, copy
                setattr(again, "time_base", stream.time_base)  # noqa: B010 - the stub forbids None
                target.mux(again)
    return path


@pytest.mark.skipif(not CLIPS, reason=f"{REAL_CLIPS} is missing")
def test_few_frames_of_a_large_file_cost_few_bytes(long_video: Path) -> None:
    content = long_video.read_bytes()
    assert len(content) > header_index.HOLLOW_FROM_BYTES
    url = in_memory("long.mp4", content)
    with counted() as traffic:
        with open_video(url) as video, open_video(long_video) as twin:
            assert isinstance(video._index, HeaderIndex)
            assert 2640 - len(video) <= 1  # the FFmpeg of av 17.1 decodes 2639 of them, too
            assert len(video) == len(twin)
            np.testing.assert_array_equal(video.times, twin.times)
            np.testing.assert_array_equal(video.frames_at([700, 690]), twin.frames_at([700, 690]))
        assert traffic.bytes < len(content) / 3


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS, reason=f"{REAL_CLIPS} is missing")
def test_a_header_that_lies_of_its_key_packets_is_not_believed(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every packet is called a key packet: decoding from one that is none would give grey soup."""
    content = bytearray(long_video.read_bytes())
    at = content.find(b"stss")
    content[at : at + 4] = b"free"  # without the list, all of them are
    url = in_memory("liar.mp4", bytes(content))
    path = long_video.with_name("liar.mp4")
    path.write_bytes(content)
    with open_video(url) as video, open_video(path) as twin:
        assert isinstance(video._index, HeaderIndex)
        np.testing.assert_array_equal(video.frames_at([707]), twin.frames_at([707]))
        assert video._index is None  # all was read, as from a file
        np.testing.assert_array_equal(video.frames_at([3, 990]), twin.frames_at([3, 990]))


def test_fragments_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_index, "HOLLOW_FROM_BYTES", 0)
    path = tmp_path / "fragments.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as target:
        stream = target.add_stream("libx264", rate=25, options={"g": "8", "x264-params": "log-level=none"})
        stream.width = stream.height = 64
        for index in range(40):
            picture = np.full((64, 64, 3), 6 * index, np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        target.mux(stream.encode(None))
    url = in_memory("fragments.mp4", path.read_bytes())
    with open_video(url) as video:
        assert video._index is None
    assert look(url) == look(path)


def test_errors_name_the_url() -> None:
    with pytest.raises(DecodeError, match=r"'memory://nix/x\.mp4': no such object"):
        rspnet.open_video("memory://nix/x.mp4")
    in_memory("folder/x.mp4", b"")
    with pytest.raises(DecodeError, match="a folder, not a file"):
        open_video("memory://folder")
    with pytest.raises(DecodeError, match="the file is empty"):
        open_video("memory://folder/x.mp4")


@pytest.mark.skipif(not CLIPS, reason=f"{REAL_CLIPS} is missing")
def test_an_object_that_changes_or_vanishes_while_it_is_read(long_video: Path) -> None:
    import fsspec

    content = long_video.read_bytes()
    for change in ("other", "gone"):
        url = in_memory("moving.mp4", content)
        with open_video(url) as video:
            video.frames_at([0])
            forget_blocks()
            if change == "gone":
                fsspec.filesystem("memory").rm("/moving.mp4")
            else:
                in_memory("moving.mp4", content + bytes(8))
            with pytest.raises(DecodeError, match="changed while" if change == "other" else "no such object"):
                video.frames_at([1000])


@pytest.mark.skipif(not CLIPS, reason=f"{REAL_CLIPS} is missing")
def test_probing() -> None:
    content = (REAL_CLIPS / "bikes.mp4").read_bytes()
    url = in_memory("probe.mp4", content)
    assert probe_video(url) == probe_video(REAL_CLIPS / "bikes.mp4")
    assert not is_cut_off(url)
    assert is_cut_off(in_memory("cut.mp4", struct.pack(">I4s", 2**20, b"ftyp") + content))
