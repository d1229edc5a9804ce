"""What a hostile file asks for is refused before it is given."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.videos import write_barcode_video

from rspnet.core.errors import DecodeError
from rspnet.video.reader import open_video
from rspnet.video.source import MAX_PIXELS, MAX_SIDE, check_size

READ_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from rspnet.core.errors import DecodeError
from rspnet.video.reader import open_video

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20,) * 2)
try:
    with open_video(sys.argv[1]) as video:
        video.frames_at([0])
except DecodeError as error:
    print(error.why)
"""


@pytest.mark.parametrize(("codec", "pix_fmt"), [("rawvideo", "bgr24"), ("mpeg4", "yuv420p"), ("ffv1", "yuv420p")])
def test_a_header_of_a_hundred_thousand_pixels_a_side(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    path = write_barcode_video(tmp_path / "huge.avi", 2, size=(64, 48), codec=codec, pix_fmt=pix_fmt)
    data = bytearray(path.read_bytes())
    header = data.index(b"strf") + 8  # BITMAPINFOHEADER: its size, width, height
    assert struct.unpack_from("<ii", data, header + 4) in ((64, 48), (64, -48))
    struct.pack_into("<ii", data, header + 4, 100_000, 100_000)
    path.write_bytes(data)
    if codec == "mpeg4":  # its own header wins over the container's
        with open_video(path) as video:
            assert (video.width, video.height) == (64, 48)
        return
    done = subprocess.run(
        [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip(), done.stderr


def with_mkv_size(data: bytes) -> bytes:
    width = b"\xb0\x82" + (320).to_bytes(2, "big")  # PixelWidth, two bytes
    assert data.count(width) == 1
    return data.replace(width, b"\xb0\x82\xff\xff")


def with_mov_size(data: bytes) -> bytes:
    at = data.index(b"rle \0\0\0\0") + 4 + 24  # VisualSampleEntry: ..., width, height
    assert struct.unpack_from(">HH", data, at) == (320, 240)
    return data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "change"),
    [("huge.mkv", "ffv1", "yuv420p", with_mkv_size), ("huge.mov", "qtrle", "rgb24", with_mov_size)],
)
def test_other_containers_lying_of_their_size(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, change: Callable[[bytes], bytes]
) -> None:
    path = write_barcode_video(tmp_path / name, 2, codec=codec, pix_fmt=pix_fmt)
    path.write_bytes(change(path.read_bytes()))
    done = subprocess.run(
        [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(path)], capture_output=True, text=True, check=True
    )
    assert "its pictures are 65535x" in done.stdout or "its first frame cannot be decoded" in done.stdout, done.stderr


def test_limits() -> None:
    check_size(Path("a.mp4"), 8192, 4320)
    for width, height in ((100_000, 100_000), (MAX_SIDE + 1, 2), (MAX_SIDE, MAX_PIXELS // MAX_SIDE + 1), (-1, 5)):
        with pytest.raises(DecodeError, match=f"its pictures are {width}x{height}: more than"):
            check_size(Path("a.mp4"), width, height)


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"])
def test_no_file_leads_to_another(tmp_path: Path, text: str) -> None:
    write_barcode_video(tmp_path / "secret.mp4", 3, size=(64, 48))
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(DecodeError):
        open_video(tmp_path / "list.mp4")


def test_a_name_is_never_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_barcode_video(tmp_path / "secret.mp4", 3, size=(64, 48))
    monkeypatch.chdir(tmp_path)
    for name in ("concat:secret.mp4", "subfile,,start,0,end,0,,:secret.mp4", "pipe:0"):
        with pytest.raises(DecodeError, match="No such file"):
            open_video(name)
