"""Videos behind URLs: their bytes for FFmpeg, and packet tables of MP4 files without their packets.

All packets of a video are looked at when it is opened. Of a local file that costs a pass over bytes that are mostly in
memory; of an object it would fetch all of it for a few frames. The header of an MP4 file (its `moov` box) says all that
the table needs. So FFmpeg goes over the packets of a *hollow* file, whose media data are zeros that nobody fetched:
what it says of their time, size and place comes from the header. Which are key packets it takes from their content,
where it has a parser for the codec; here the header's own list of them is taken. That list may be wrong, so the first
packet of every run of decoding is held against its content (`video.header_index`), and a reader that meets such a lie,
or any damage, reads the whole object, as it would a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from rspnet.core.errors import DecodeError
from rspnet.core.urls import UrlPath, open_ranges

_MOST_BOXES = 64


class VideoBytes:
    """An object as a file for PyAV; may be hollow.

    Args:
        path: the object.
        status: what `path.stat()` said.

    Attributes:
        name: FFmpeg looks at its ending.
        status: as given.
        size: in bytes.
        hollow: byte ranges that read as zeros.
    """

    def __init__(self, path: UrlPath, status: os.stat_result) -> None:
        self.name = f"file:{path.name}"
        self.path = path
        self.hollow: list[range] = []
        self.status = status
        self.size = status.st_size
        self._has_failed = False
        try:
            self._file = open_ranges(path, status)
        except OSError as error:
            raise DecodeError(path, error.strerror or str(error)) from None
        self.seek, self.tell = self._file.seek, self._file.tell

    def read(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            DecodeError: they cannot be read. Only once: PyAV hands on the first error, FFmpeg may go on reading.
        """
        if self._has_failed:
            return b""
        try:
            for zeros in self.hollow:
                if (at := self._file.tell()) in zeros:
                    count = min(size, zeros.stop - at)
                    self._file.seek(at + count)
                    return bytes(count)
                if at < zeros.start:
                    size = min(size, zeros.start - at)
            return self._file.read(size)
        except OSError as error:
            self._has_failed = True
            raise DecodeError(self.path, error.strerror or str(error)) from None

    def close(self) -> None:
        """Free what is kept."""
        self._file.close()


class Box(NamedTuple):
    """A box of an MP4 file: four letters, where its content starts, and where it ends."""

    kind: bytes
    start: int
    stop: int


def media_data(file: VideoBytes) -> list[range] | None:
    """Where the packets of an MP4 file lie; None if it is none, or its packets are described among themselves."""
    boxes = list(_boxes(file))
    headers = [box for box in boxes if box.kind == b"moov"]
    if len(headers) != 1 or any(box.kind == b"moof" for box in boxes):
        return None
    (header,) = headers
    file.seek(header.start)
    if b"mvex" in file.read(header.stop - header.start):  # further headers follow
        return None
    return [range(box.start, box.stop) for box in boxes if box.kind == b"mdat"]


def _boxes(file: VideoBytes) -> Iterator[Box]:
    """The boxes of a file, one after the other; none after the first that makes no sense."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        length, start = int.from_bytes(head[:4], "big"), at + 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), at + 16
        stop = file.size if length == 0 else at + length
        if len(head) < 16 or not start <= stop <= file.size or not head[4:8].isalpha():
            return
        yield Box(head[4:8], start, stop)
        at = stop
