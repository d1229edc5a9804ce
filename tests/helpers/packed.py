"""Barcode videos as DivX and XviD wrote them: MPEG-4 part 2 with a packed bitstream, in AVI.

FFmpeg's encoder makes the pictures. They are then put into chunks as those encoders do: a reference picture with the
first B picture behind it in decode order, further B pictures alone, and then a place holder that codes nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from helpers.videos import write_barcode_video

XVID = b"\0\0\1\xb2DivX503b1393p\0\0\1\xb2XviD0055"
DIVX = b"\0\0\1\xb2DivX503b2816p"
NOTHING = b"\x7f"

# Options of `write_packed_video` for files of `helpers.videos.FRAMES` pictures.
PACKED: dict[str, dict[str, Any]] = {
    "packed.avi": {"b_frames": 2},
    "packed-one-b.avi": {"b_frames": 1, "signature": DIVX, "one_byte_at": (0, 1)},
    "packed-three-b.avi": {"b_frames": 3, "one_byte_at": (1,)},
    "packed-no-b.avi": {"b_frames": 0, "signature": DIVX, "one_byte_at": (0, 7)},
}
_FFMPEG = re.compile(rb"\x00\x00\x01\xb2Lavc[0-9.]+")
_VOP = b"\0\0\1\xb6"


@dataclass(frozen=True)
class Chunk:
    """What the container holds as one frame."""

    data: bytes
    is_key: bool = False


def write_packed_video(
    path: Path,
    num_frames: int,
    *,
    b_frames: int = 2,
    signature: bytes = XVID,
    one_byte_at: Collection[int] = (),
    fps: int = 30,
    size: tuple[int, int] = (320, 240),
    gop: int = 12,
) -> Path:
    """Encode frames 0 .. num_frames - 1 (less what FFmpeg does not show at the end of a packed file).

    Args:
        b_frames: 0 to 3 between two references.
        signature: user data that says who encoded; both of XVID and DIVX claim a packed bitstream.
        one_byte_at: places in the list of chunks at which a chunk without a picture is put.
    """
    options = {"bf": str(b_frames), "b_strategy": "0"}
    write_barcode_video(path, num_frames, fps=fps, size=size, codec="mpeg4", gop=gop, options=options)
    chunks = packed([Chunk(_FFMPEG.sub(signature, chunk.data), chunk.is_key) for chunk in read_chunks(path)], fps)
    for place in sorted(one_byte_at):
        chunks.insert(place, Chunk(NOTHING))
    write_avi(path, chunks, fps=fps, size=size)
    return path


def read_chunks(path: Path) -> list[Chunk]:
    """The chunks of a file as the container holds them."""
    with av.open(str(path)) as container:
        return [Chunk(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]


def packed(pictures: Sequence[Chunk], fps: int) -> list[Chunk]:
    """Pictures in decode order as chunks of a packed bitstream; as many as there are pictures."""
    chunks: list[Chunk] = []
    reference = 0  # its place in `pictures`
    for number, picture in enumerate(pictures):
        if not is_b(picture.data):
            if number - reference > 1:
                chunks.append(Chunk(not_coded(pictures[reference].data, fps)))
            reference = number
            chunks.append(picture)
        elif number == reference + 1:
            chunks[-1] = Chunk(chunks[-1].data + picture.data, chunks[-1].is_key)
        else:
            chunks.append(picture)
    if len(pictures) - reference > 1:
        chunks.append(Chunk(not_coded(pictures[reference].data, fps)))
    assert len(chunks) == len(pictures)
    return chunks


def is_b(data: bytes) -> bool:
    """Whether a chunk's first picture is a B picture."""
    return data[data.index(_VOP) + 4] >> 6 == 2


def not_coded(reference: bytes, fps: int, *, same_second: bool = True) -> bytes:
    """A P picture at the time of another one that codes nothing.

    Args:
        reference: chunk that starts with the other picture's header.
        fps: ticks a second of the stream's clock.
        same_second: the other picture comes before this one, so that no second passes between them.
    """
    at = reference.index(_VOP) + 4
    bits = "".join(f"{byte:08b}" for byte in reference[at : at + 8])
    seconds = bits.index("0", 2) - 2
    ticks = bits[2 + seconds + 2 :][: max(1, (fps - 1).bit_length())]
    bits = "01" + "1" * (0 if same_second else seconds) + "0" + "1" + ticks + "1" + "0" + "0111"
    bits += "1" * (-len(bits) % 8)
    return _VOP + int(bits, 2).to_bytes(len(bits) // 8, "big")


def write_avi(path: Path, chunks: Sequence[Chunk], *, fps: int, size: tuple[int, int]) -> None:
    """An AVI file with one video stream of these chunks and an index."""
    width, height = size
    count = len(chunks)
    main = struct.pack("<14I", 1_000_000 // fps, 0, 0, 0x10, count, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = b"vidsXVID" + struct.pack("<10I4H", 0, 0, 0, 1, fps, 0, count, 0, 0, 0, 0, 0, width, height)
    picture = struct.pack("<IIIHH4sIIIII", 40, width, height, 1, 24, b"XVID", 3 * width * height, 0, 0, 0, 0)
    head = _list(b"hdrl", _chunk(b"avih", main), _list(b"strl", _chunk(b"strh", stream), _chunk(b"strf", picture)))
    index, at = b"", 4
    for chunk in chunks:
        index += b"00dc" + struct.pack("<III", 0x10 if chunk.is_key else 0, at, len(chunk.data))
        at += 8 + len(chunk.data) + len(chunk.data) % 2
    movie = _list(b"movi", *(_chunk(b"00dc", chunk.data) for chunk in chunks))
    body = b"AVI " + head + movie + _chunk(b"idx1", index)
    path.write_bytes(_chunk(b"RIFF", body))


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)


def _list(name: bytes, *parts: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(parts))
