"""Packet tables of MP4 objects by their header alone; see `video.fetched` for how and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rspnet.core.errors import DecodeError
from rspnet.video.fetched import media_data
from rspnet.video.index_cache import PacketIndex, PacketPlace, place_numbers
from rspnet.video.packets import PacketTable
from rspnet.video.source import bytes_of, demux, describe_packet, open_container

HOLLOW_FROM_BYTES = 8 * 2**20
"""Smaller objects are read whole: few requests cost less than few bytes."""
_CODECS = {"h264", "hevc", "av1", "libdav1d"}
"""Decoders of streams whose packets the container's header describes one by one."""


class HeaderIndex(PacketIndex):
    """A packet table that a file's header gave, its packets unseen."""

    def packets(self, path: Path, start: int) -> Iterator[Packet[Any]]:
        """The packets from number `start` on, tagged with their numbers.

        Raises:
            DecodeError: they are not what the header says.
        """
        packets = super().packets(path, start)
        for packet in packets:
            if start and not packet.is_keyframe:
                raise self.unfit(path)
            yield packet
            break
        yield from packets

    def unfit(self, path: Path) -> DecodeError:
        """The error to raise where packets are not as the table has them."""
        return DecodeError(path, "its header describes other packets than it holds")


def header_index(path: Path, opened: InputContainer) -> HeaderIndex | None:
    """The packet table of a large MP4 object; None where its packets have to be seen, or where it is a local file.

    Args:
        path: the object.
        opened: its container, which is left as it is.

    Raises:
        DecodeError: it cannot be read.
    """
    file = bytes_of(opened)
    if file is None or file.size < HOLLOW_FROM_BYTES:
        return None
    container, stream = open_container(path)
    with container:
        file = bytes_of(container)
        assert file is not None
        codec = stream.codec_context.name
        if not container.format.name.startswith("mov,") or codec not in _CODECS:
            return None
        at = file.tell()
        hollow = media_data(file)
        file.seek(at)
        if not hollow:
            return None
        file.hollow = hollow
        return _index(path, container, stream)


def _index(path: Path, container: InputContainer, stream: VideoStream) -> HeaderIndex | None:
    keys = {entry.pos for entry in stream.index_entries if entry.is_keyframe}
    rows, places = [], []
    for packet in demux(path, container, stream):
        rows.append(describe_packet(packet, codec=stream.codec_context.name)._replace(is_key=packet.pos in keys))
        places.append(PacketPlace(packet.pos, packet.size, packet.dts if packet.pts is None else packet.pts))
    table = PacketTable(rows)
    if table.needs_scan() or not len(table):
        return None
    return HeaderIndex(table, np.array(place_numbers(places), np.int64).reshape(-1, 3))
