"""What a file says of itself, before its frames are looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import av

from rspnet.core.errors import DecodeError
from rspnet.core.urls import as_path
from rspnet.video.orientation import Orientation, frame_orientation, pixel_aspect
from rspnet.video.source import film_streams, open_container, reason

_USUAL_FORMATS = frozenset({"yuv420p", "yuvj420p"})
_MP4_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"uuid"})


@dataclass(frozen=True)
class Probe:
    """Facts of the container and of the first decoded frame.

    Attributes:
        codec: name of the decoder.
        pixel_format: FFmpeg's name of it.
        orientation: how the coded picture is turned for display; None where it is no quarter turn.
        is_interlaced: the first frame is made of two fields.
        pixel_aspect: width of a coded pixel by its height.
        streams: how many video streams there are, covers not counted.
        stream: number of the stream that is read, among all of the container.
    """

    codec: str
    pixel_format: str
    orientation: Orientation | None
    is_interlaced: bool
    pixel_aspect: Fraction
    streams: int
    stream: int

    @property
    def is_usual_format(self) -> bool:
        """8 bits and 4:2:0, what data sets and networks are made for."""
        return self.pixel_format in _USUAL_FORMATS


def probe_video(path: str | os.PathLike[str]) -> Probe:
    """Open a video and decode its first frame.

    Raises:
        DecodeError: it cannot be opened or holds no decodable frame.
    """
    container, stream = open_container(as_path(path))
    with container:
        try:
            frame = next(container.decode(stream), None)
        except (av.error.FFmpegError, IndexError) as error:
            raise DecodeError(path, f"its first frame is damaged ({reason(error)})") from None
        if frame is None:
            raise DecodeError(path, "no decodable frame in it")
        return Probe(
            codec=stream.codec_context.name,
            pixel_format=frame.format.name,
            orientation=frame_orientation(frame),
            is_interlaced=bool(frame.interlaced_frame),
            pixel_aspect=pixel_aspect(stream),
            streams=len(film_streams(container)),
            stream=stream.index,
        )


def is_cut_off(path: str | os.PathLike[str]) -> bool:
    """Whether an MP4, MOV or AVI file ends before its own sizes say (a download or copy that broke off)."""
    place = as_path(path)
    if not place.is_file():  # a named pipe would wait for its writer
        return False
    with place.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            # Files over 1 GB go on in further RIFF chunks: the first one's size is a lower bound.
            return size < 8 + int.from_bytes(head[4:8], "little")
        position = 0
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if head[4:8] not in _MP4_BOXES or length == 0:
                return False
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                return False
            position += length
        return position > size
