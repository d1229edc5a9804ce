"""AVI with MPEG-4 part 2, the format of UCF101: frames are right or refused, whatever packets are lost or repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.packed import not_coded
from helpers.videos import read_barcode, shown_by_time, write_barcode_video

from rspnet.video.mpeg4 import Clock
from rspnet.video.reader import open_video

FRAMES = 24
FPS = 30
GOPS = {"bframes": {"bf": "2"}, "plain": {"bf": "0"}}


@pytest.fixture(scope="module", params=GOPS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avi") / f"{request.param}.avi"
    return write_barcode_video(path, FRAMES, size=(64, 48), codec="mpeg4", gop=10, fps=FPS, options=GOPS[request.param])


def packets_of(path: Path) -> list[bytes]:
    with open_video(path) as video:
        return [bytes(packet) for packet in video._kept or ()]


def chunk(packet: bytes) -> bytes:
    return b"00dc" + len(packet).to_bytes(4, "little") + packet + b"\0" * (len(packet) % 2)


def replaced(path: Path, number: int, new: bytes) -> Path:
    """The file with one packet's chunk replaced by other bytes."""
    old = chunk(packets_of(path)[number])
    data = path.read_bytes()
    assert data.count(old) == 1
    changed = path.with_name("changed.avi")
    changed.write_bytes(data.replace(old, new))
    return changed


def test_a_sound_file_is_read_whole(sound: Path) -> None:
    assert shown_by_time(sound, fps=FPS) == (list(range(FRAMES)), set())


@pytest.mark.parametrize("lost", range(FRAMES))
def test_a_lost_packet_never_shows_wrong_frames(sound: Path, lost: int) -> None:
    read, refused = shown_by_time(replaced(sound, lost, b""), fps=FPS)
    assert len(read) + len(refused) == FRAMES - 1
    assert len(refused) < 14  # its group of pictures, and the B pictures before that


@pytest.mark.parametrize("repeated", [1, 5, 8, 13])
def test_a_repeated_packet_never_shows_wrong_frames(sound: Path, repeated: int) -> None:
    packet = packets_of(sound)[repeated]
    read, refused = shown_by_time(replaced(sound, repeated, chunk(packet) * 2), fps=FPS)
    assert len(read) + len(refused) == FRAMES
    assert len(read) > FRAMES // 2


@pytest.mark.parametrize("kind", ["not coded", "empty"])
def test_a_picture_that_the_encoder_left_out_is_a_gap_in_time(tmp_path: Path, kind: str) -> None:
    """Encoders do so where nothing moves; the rest is sound, and the gap is seen by those who need even times."""
    path = write_barcode_video(
        tmp_path / "a.avi", 12, size=(64, 48), codec="mpeg4", gop=100, fps=FPS, options={"bf": "0"}
    )
    packet = packets_of(path)[6]
    new = chunk(not_coded(packet, FPS, same_second=False) if kind == "not coded" else b"")
    filled = new + b"JUNK" + (len(chunk(packet)) - len(new) - 8).to_bytes(4, "little")
    changed = replaced(path, 6, filled + bytes(len(chunk(packet)) - len(filled)))
    with open_video(changed) as video:
        periods = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
        np.testing.assert_allclose(video.times * FPS, periods, atol=1e-6)
        frames = video.frames_at(range(len(video)))  # none is refused; behind the cut, what the decoder makes of it
    assert [read_barcode(frame) for frame in frames[:6]] == periods[:6]


def test_a_clock_that_makes_no_sense_is_not_followed(sound: Path) -> None:
    class Fake:
        dts = None

        def __init__(self, data: bytes) -> None:
            self.data = data

        def __bytes__(self) -> bytes:
            return self.data

    packets = packets_of(sound)
    with open_video(sound) as video:
        rows = list(video._table.packets)
        extradata = video._context.extradata
    for data in ([packets[0]] * FRAMES, [b"soup"] * FRAMES):
        clock = Clock(extradata)
        for packet in data:
            clock.take(Fake(packet))  # type: ignore[arg-type]
        assert clock.corrected(rows) is None
    clock = Clock(b"")
    for packet in packets:
        clock.take(Fake(packet))  # type: ignore[arg-type]
    assert clock.corrected(rows) == rows
