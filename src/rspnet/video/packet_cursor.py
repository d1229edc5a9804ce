"""Packets of a stream that is too long to be kept in memory, demuxed once where they are asked for in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.packet import Packet

from rspnet.video.source import KEEP_BYTES, demux, memory_of, open_container


class PacketCursor:
    """Demuxes on from where it is; the packets given last stay, up to `KEEP_BYTES`, for a run that starts among them.

    A film that is read piece by piece is so demuxed once, not once a piece. Only a step back further than what is kept
    starts again at the first packet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container: InputContainer | None = None
        self._source: Iterator[Packet[Any]] = iter(())
        self._kept: deque[Packet[Any]] = deque()
        self._kept_bytes = 0
        self._first = 0

    def packets(self, start: int) -> Iterator[Packet[Any]]:
        """The packets from number `start` on, tagged with their numbers; one such iteration at a time.

        Raises:
            DecodeError: the demuxer fails.
        """
        if self._container is None or start < self._first:
            self._begin()
        number = max(self._first, min(start, self._first + len(self._kept)))
        while number < self._first + len(self._kept) or self._demux_one():
            packet = self._kept[number - self._first]
            number += 1
            while self._kept_bytes > KEEP_BYTES and self._first < number:
                self._drop_first()
            if number > start:
                yield packet

    def close(self) -> None:
        """Close the file; the next packets are demuxed from the start."""
        if self._container is not None:
            self._container.close()
        self._container = None
        self._kept.clear()

    def _begin(self) -> None:
        self.close()
        self._container, stream = open_container(self._path)
        self._source = demux(self._path, self._container, stream)
        self._kept_bytes, self._first = 0, 0

    def _demux_one(self) -> bool:
        try:
            packet = next(self._source, None)
        except BaseException:
            self.close()
            raise
        if packet is None:
            return False
        self._kept.append(packet)
        self._kept_bytes += memory_of(packet)
        return True

    def _drop_first(self) -> None:
        self._kept_bytes -= memory_of(self._kept.popleft())
        self._first += 1
