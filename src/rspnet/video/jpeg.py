"""A JPEG picture ends where its file format says: the truth about a packet of Motion JPEG that damage cut or mixed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from av.packet import Packet

from rspnet.video.packets import PacketInfo, cut_at, unless_usual

_HEAD = b"\xff\xd8"
_END, _SCAN = 0xD9, 0xDA
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_BEHIND_SCAN = re.compile(rb"\xff+([^\x00\xff])")


class Pictures:
    """Reads the packets of one stream, then marks those that are no whole picture."""

    def __init__(self) -> None:
        self._headless: set[int] = set()
        self._broken: set[int] = set()
        self._count = 0

    def take(self, packet: Packet[Any]) -> None:
        """Look at the next packet."""
        data = bytes(packet)
        if not data.startswith(_HEAD):
            self._headless.add(self._count)
        elif not is_whole(data):
            self._broken.add(self._count)
        self._count += 1

    def corrected(self, rows: Sequence[PacketInfo]) -> list[PacketInfo]:
        """The table's rows with packets that are no whole picture marked as cut.

        Where most do not end as they should, that is their encoder's way, and only those without a start are marked.
        """
        return cut_at(rows, self._headless | unless_usual(self._broken, len(rows)))


def is_whole(data: bytes) -> bool:
    """Whether the markers (ITU-T T.81, B.1.1) behind the first lead to the picture's end, restarts in their order."""
    at, restarts = len(_HEAD), 0
    while at + 1 < len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return False
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == _END:
            return True
        at += 2
        if marker not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
        if marker != _SCAN:
            continue
        restarts = 0
        while True:
            found = _BEHIND_SCAN.search(data, at)
            if found is None:
                return False
            if not 0xD0 <= found[1][0] <= 0xD7:
                at = found.start()
                break
            if found[1][0] != 0xD0 + restarts % 8:
                return False
            restarts, at = restarts + 1, found.end()
    return False
