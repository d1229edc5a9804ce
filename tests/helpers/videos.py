"""Small test videos whose every picture carries its own frame index as a barcode along the top.

Rows 0-15: 16 blocks, width // 16 pixels wide; block k (from the left) is white if bit k of the index is 1.
Rows 16-31: the same blocks inverted, as a check. The rest is a moving texture. The layout of a 320 pixel wide picture
is that of shared/data/real-clips.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from rspnet.core.errors import DecodeError
from rspnet.video.reader import open_video

Picture = npt.NDArray[np.uint8]
REAL_CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "real-clips"
BITS = 16
BAND = 16

FRAMES = 40
X265 = {"x265-params": "log-level=none:pools=none"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}
# Options of `write_barcode_video` for files of FRAMES pictures, of every kind the reader treats in a way of its own.
FILES: dict[str, dict[str, Any]] = {
    "bframes.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "h264.avi": {"options": {"bf": "3"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "bframes.mp4": {"options": {"bf": "3"}},
    "opengop.mp4": {"options": {"bf": "3", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}},
    "refresh.mp4": {"options": {"x264-params": "intra-refresh=1"}},
    "opengop.mkv": {"codec": "libx265", "options": {"x265-params": "open-gop=1:log-level=none:pools=none"}},
    "hidden.webm": {"codec": "libvpx-vp9", "options": VP9 | {"auto-alt-ref": "1", "lag-in-frames": "12"}},
    "vp8.webm": {"codec": "libvpx", "options": VP9 | {"auto-alt-ref": "1", "lag-in-frames": "12"}},
    "ffv1.mkv": {"codec": "ffv1"},
    "stream.ts": {"options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "vfr.mp4": {"options": {"bf": "3"}, "times": [i + 3 * (i // 5) for i in range(FRAMES)]},
    "odd.mp4": {"codec": "mpeg4", "size": (341, 257)},
    "ten-bit.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": X265},
    "gray.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "colours.mp4": {"pix_fmt": "yuv444p"},
    "full-range.mp4": {"pix_fmt": "yuvj420p"},
    "rotated90.mp4": {"rotation": 90},
    "rotated180.mp4": {"rotation": 180},
    "rotated270.mp4": {"rotation": -90},
}  # fmt: skip


def barcode_picture(index: int, *, size: tuple[int, int] = (320, 240)) -> Picture:
    """RGB picture [H, W, 3] of `size` (width, height, at least 48 x 40) that holds `index`."""
    width, height = size
    texture = np.random.default_rng(7).integers(40, 216, (height // 8 + 10, width // 8 + 10, 3), dtype=np.uint8)
    texture = texture.repeat(8, axis=0).repeat(8, axis=1)
    down, right = (2 * index) % 64, (3 * index) % 64
    picture = texture[down : down + height, right : right + width].copy()
    block = width // BITS
    for bit in range(BITS):
        value = 235 if index >> bit & 1 else 16
        columns = slice(bit * block, (bit + 1) * block)
        picture[:BAND, columns] = value
        picture[BAND : 2 * BAND, columns] = 251 - value
    return picture


def read_barcode(frame: Picture) -> int | None:
    """The index in a displayed picture [H, W, 3], None if the barcode contradicts itself."""
    block = frame.shape[1] // BITS
    value = 0
    for bit in range(BITS):
        columns = slice(bit * block + block // 4, (bit + 1) * block - block // 4)
        white = frame[4:12, columns].mean() > 125
        if white == (frame[20:28, columns].mean() > 125):
            return None
        value |= int(white) << bit
    return value


def write_barcode_video(
    path: Path,
    num_frames: int,
    *,
    fps: int = 30,
    size: tuple[int, int] = (320, 240),
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    rotation: int = 0,
    times: Iterable[int] | None = None,
) -> Path:
    """Encode frames 0 .. num_frames - 1; the container follows from the ending of `path`.

    Args:
        size: (width, height) of the coded pictures.
        codec: libx264, mpeg4, libvpx-vp9, libvpx, ffv1, mjpeg, mpeg2video, libx265, libsvtav1 are in PyAV's wheels.
        options: encoder options, such as {"bf": "2", "x264-params": "open-gop=1"}.
        gop: frames between key frames.
        rotation: display matrix in degrees counter-clockwise (MP4, MOV).
        times: presentation time of every frame in ticks of 1 / fps seconds; by default 0, 1, 2, ...
    """
    pictures = (barcode_picture(index, size=size) for index in range(num_frames))
    return write_video(
        path, pictures, fps=fps, codec=codec, options={"g": str(gop), **(options or {})}, pix_fmt=pix_fmt,
        setup=lambda stream: stream.set_display_rotation(rotation) if rotation else None, times=times,
    )  # fmt: skip


def write_video(
    path: Path,
    pictures: Iterable[Picture],
    *,
    fps: int = 30,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    setup: Callable[[Any], None] | None = None,
    times: Iterable[int] | None = None,
) -> Path:
    """Encode RGB pictures [H, W, 3], single-threaded, so that equal calls give equal files."""
    stamps = None if times is None else iter(times)
    with av.open(str(path), "w") as container:
        stream: Any = None
        for index, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, rate=fps)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.options = dict(options or {})
                stream.codec_context.thread_count = 1
                if setup is not None:
                    setup(stream)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index if stamps is None else next(stamps)
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_plainly(path: Path) -> list[Picture]:
    """All frames by the plainest sequential PyAV loop: what random access has to equal."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        return [plain_picture(frame, stream.sample_aspect_ratio) for frame in container.decode(stream)]


def plain_picture(frame: Any, aspect: Fraction | None = None) -> Picture:
    """A decoded frame as it is displayed, [H, W, 3]; `aspect` is the width of its pixels by their height."""
    width = round(frame.width * (aspect or 1))
    picture = frame.reformat(width=width, format="rgb24", interpolation="BILINEAR").to_ndarray()
    return np.rot90(picture, round(frame.rotation / 90))


def shown_by_time(path: Path, *, fps: int) -> tuple[list[int], set[int]]:
    """Barcodes of the frames that can be read alone, and the frame periods that are refused.

    Every frame that is read has to be the one of its time.
    """
    read: list[int] = []
    refused: set[int] = set()
    with open_video(path) as video:
        periods = np.rint(video.times * fps).astype(int)
        first = 0
        for index, period in enumerate(periods):
            try:
                code = read_barcode(video.frames_at([index])[0])
            except DecodeError:
                refused.add(int(period))
                continue
            assert code is not None
            first = code - int(period) if not read else first  # times count from the first frame that is left
            assert code == first + period
            read.append(code)
    return read, refused


def with_display_matrix(data: bytes, matrix: list[int]) -> bytes:
    """An MP4 whose (first) track header holds this matrix."""
    at = data.index(b"tkhd") + 4 + 40  # version 0: 24 bytes of times and ids, 8 reserved, 8 of layer to reserved
    return data[:at] + struct.pack(">9i", *matrix) + data[at + 36 :]
