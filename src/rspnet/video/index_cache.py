"""Packet tables kept on disk, for files whose table costs more than the frames that are wanted of them.

For most files it does not: one pass over the packets of a short clip takes about a millisecond. It pays where the time
stamps do not give the order of the frames, so that opening decodes everything, and for long files (docs/benchmarks.md).
Only these are kept, and only where the environment variable `RSPNET_INDEX_CACHE` names a folder. A variable and no
option, because it says something about the machine, changes no result and holds for every command that reads videos.

The file is always right. An entry is a SHA-256 and numbers; the sum goes over the numbers and over what they were made
of (path, size, both times of change, versions), so an entry that is stale, foreign or damaged is no entry. It also says
where in the file every packet lies. With that a reader may seek, and each packet it then gets is held against it.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.core.files import atomic_path
from rspnet.video.packets import Ints, PacketInfo, PacketTable
from rspnet.video.source import demux, open_container, tag_of

VARIABLE = "RSPNET_INDEX_CACHE"
LONG_PACKETS = 2000
"""Streams of so many packets are worth an entry, whatever their time stamps."""

_VERSION = f"4 {av.__version__} {av.library_versions}"  # raise the number with any change of what a table says
_SUM_BYTES = hashlib.sha256().digest_size
_NONE = np.iinfo(np.int64).min
# A file that has just changed may change again without its times telling: their clock ticks every few milliseconds.
_SETTLED_SECONDS = 2.0
# Containers whose key packets a seek finds by their own index; elsewhere it is a search through the file.
_SEEKABLE = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
_NEAR_PACKETS = 200  # so many are demuxed sooner than sought


class PacketPlace(NamedTuple):
    """Where a packet lies: byte position, bytes, and the time stamp to seek to; None for what the container hides."""

    position: int | None
    size: int
    stamp: int | None


@dataclass(frozen=True)
class PacketIndex:
    """A packet table with the places of its packets in the file.

    Attributes:
        table: of the stream.
        places: int64 [packets, 3], the fields of `PacketPlace`.
    """

    table: PacketTable
    places: Ints

    def packets(self, path: Path, start: int) -> Iterator[Packet[Any]]:
        """The packets from number `start` on, tagged with their numbers.

        Raises:
            DecodeError: the file has other packets; the entry is then removed.
        """
        for seek_to in (start, 0):
            for number, packet in self._demux(path, seek_to):
                if not self._is_at(packet, number):
                    break
                if number >= start:
                    yield packet
                    start = number + 1
            if start == len(self.places):
                return
        raise self.unfit(path)

    def unfit(self, path: Path) -> DecodeError:
        """The error to raise where packets are not as the table has them; removes the entry."""
        with suppress(OSError):
            entry_path(path).unlink(missing_ok=True)
        return DecodeError(path, f"its entry in {VARIABLE} did not fit and is removed: read it again")

    def _demux(self, path: Path, start: int) -> Iterator[tuple[int, Packet[Any]]]:
        """Numbers and packets from a key packet at or before packet `start` on; none where a seek led elsewhere."""
        container, stream = open_container(path)
        with container:
            first = self._seek(container, stream, start)
            if first is not None:
                yield from enumerate(demux(path, container, stream, first=first), first)

    def _seek(self, container: InputContainer, stream: VideoStream, start: int) -> int | None:
        """Go to a key packet at or before packet `start`; its number, or None where the container led elsewhere."""
        stamp = int(self.places[start, 2])
        if start <= _NEAR_PACKETS or stamp == _NONE or container.format.name not in _SEEKABLE:
            return 0
        try:
            container.seek(stamp, stream=stream)
            packet = next(packet for packet in container.demux(stream) if packet.size)
            container.seek(stamp, stream=stream)
        except (av.error.FFmpegError, IndexError, StopIteration):
            return None
        found = np.flatnonzero(self.places[: start + 1, 0] == _number(packet.pos))
        return int(found[0]) if len(found) == 1 else None

    def _is_at(self, packet: Packet[Any], number: int) -> bool:
        here = [_number(tag_of(packet).position), packet.size]
        return number < len(self.places) and self.places[number, :2].tolist() == here


def load_index(path: Path) -> PacketIndex | None:
    """The kept table of a video as it is now, or None."""
    if not os.environ.get(VARIABLE):
        return None
    try:
        data = entry_path(path).read_bytes()
        if data[:_SUM_BYTES] != _sum(path, data[_SUM_BYTES:]):
            return None
    except OSError:
        return None
    numbers = np.frombuffer(data, np.int64, offset=_SUM_BYTES)
    count = int(numbers[0])
    packets, order = numbers[1 : 1 + 5 * count].reshape(count, 5), numbers[1 + 5 * count :]
    stamps, flags = packets[:, 3].tolist(), packets[:, 4].tolist()
    rows = [
        PacketInfo(None if pts == _NONE else pts, *(bool(flag & bit) for bit in (1, 2, 4, 8, 16)))
        for pts, flag in zip(stamps, flags, strict=True)
    ]
    return PacketIndex(PacketTable(rows, display_order=order.tolist()), packets[:, :3])


def keep_index(path: Path, table: PacketTable, places: list[PacketPlace]) -> None:
    """Keep a video's table for the next time, if the file is not just being written; a failure is only warned of."""
    rows = [
        (*place, _number(row.pts), flags)
        for place, row in zip(place_numbers(places), table.packets, strict=True)
        for flags in [sum(flag << bit for bit, flag in enumerate(row[1:]))]
    ]
    numbers = np.concatenate([[len(rows)], np.array(rows, np.int64).reshape(-1), table.packet_of_frame])
    data = numbers.astype(np.int64).tobytes()
    try:
        status = path.stat()
        if time() - max(status.st_mtime, status.st_ctime) < _SETTLED_SECONDS:
            return
        with atomic_path(entry_path(path)) as temporary:
            temporary.write_bytes(_sum(path, data) + data)
    except (OSError, RSPNetError) as error:
        warnings.warn(f"{VARIABLE}: {error}", stacklevel=2)


def place_numbers(places: Sequence[PacketPlace]) -> list[tuple[int, int, int]]:
    """Places as `PacketIndex.places` has them."""
    return [(_number(place.position), place.size, _number(place.stamp)) for place in places]


def entry_path(path: Path) -> Path:
    """Where the entry of a video is kept."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    return Path(os.environ[VARIABLE]) / f"{name}.index"


def _sum(path: Path, data: bytes) -> bytes:
    """Over an entry's numbers and all they depend on."""
    status = path.stat()
    made_of = (_VERSION, status.st_size, status.st_mtime_ns, status.st_ctime_ns, str(path.absolute()))
    return hashlib.sha256(os.fsencode(repr(made_of)) + data).digest()


def _number(value: int | None) -> int:
    return int(_NONE) if value is None else value
