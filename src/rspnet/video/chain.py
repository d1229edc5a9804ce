"""Whether a container's own sizes lead from one packet to the next: where they do not, damage is between them.

Demuxers look for the next thing that they know and go on there without a word. The packet before such a place may have
swallowed others, and those behind it may be missing. Nothing here reads a packet: only the few bytes between two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from rspnet.core.errors import DecodeError
from rspnet.core.urls import UrlPath
from rspnet.video.packets import PacketInfo, unless_usual

_RIFF_LISTS = {b"LIST", b"RIFF"}
_RIFF_HEAD, _RIFF_LIST_HEAD = 8, 12  # bytes before a chunk's content, before a list's first chunk
_FLV_HEAD, _FLV_TAIL = 11, 4  # bytes before a tag's content, behind it
_EBML_LISTS = {0x18538067, 0x1F43B675, 0xA0}  # Segment, Cluster, BlockGroup
_EBML_BLOCKS = {0xA1, 0xA3}  # Block, SimpleBlock
_BLOCK_HEAD = 3  # bytes between a block's track number and its content
# What else may stand behind a block: SeekHead, Info, Tracks, Cues, Attachments, Chapters, Tags, Void, CRC-32, Timestamp
# and the like, and the parts of a BlockGroup.
_EBML_OTHERS = {0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF, 0xE7}
_EBML_OTHERS |= {0xA7, 0xAB, 0x75A1, 0x75A2, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0xC8, 0x8E, 0x5854}
_EBML_KNOWN = _EBML_LISTS | _EBML_BLOCKS | _EBML_OTHERS

_Leads = Callable[[BinaryIO, int, int, int], bool]
_Ends = Callable[[BinaryIO, int, int], bool]


def broken_steps(path: Path, container: str, places: Sequence[tuple[int | None, int]]) -> set[int]:
    """Packets to which the sizes in the file do not lead from the packet before. None in objects of the web.

    Their number stands for the end of the stream where nothing that the format knows follows the last packet.

    Args:
        path: the file.
        container: FFmpeg's name of its format.
        places: FFmpeg's position and the size of every packet, in decode order.

    Raises:
        DecodeError: the file is gone, or no more can be open.
    """
    if container not in _FORMATS or isinstance(path, UrlPath):
        return set()
    leads, ends = _FORMATS[container]
    found = set()
    try:
        file = path.open("rb")
    except OSError as error:
        raise DecodeError(path, error.strerror or str(error)) from None
    with file:
        for number, ((at, size), (following, _)) in enumerate(pairwise(places), 1):
            if at is not None and following is not None and not leads(file, at, size, following):
                found.add(number)
        at, size = places[-1] if places else (None, 0)
        if at is not None and not ends(file, at, size):
            found.add(len(places))
    return unless_usual(found, len(places))


def with_breaks(rows: Sequence[PacketInfo], broken: set[int], *, has_clock: bool) -> list[PacketInfo]:
    """The packet before a break may be damaged, and what refers to earlier ones behind it may miss some.

    Where only the order of packets gives the time, nobody knows how much is missing: another recording starts.
    Where the clock says that another recording does, that is why the chain breaks.
    """
    alone = not has_clock and all(row.is_key for row in rows)
    changed = list(rows)
    for number in broken - {number for number, row in enumerate(rows) if row.is_joint}:
        changed[number - 1] = changed[number - 1]._replace(is_cut=True)
        if number == len(rows):
            continue
        row = changed[number]
        changed[number] = row._replace(is_cut=row.is_cut or not row.is_key, is_joint=row.is_joint or alone)
    return changed


def _avi_leads(file: BinaryIO, at: int, size: int, following: int) -> bool:
    here, end = at + size + size % 2, following - _RIFF_HEAD
    while here < end:
        head = _read(file, here, _RIFF_HEAD)
        if not head:
            break
        length = int.from_bytes(head[4:], "little")
        here += _RIFF_LIST_HEAD if head[:4] in _RIFF_LISTS else _RIFF_HEAD + length + length % 2
    return here == end or at + size == end  # some writers leave the byte out that makes sizes even


def _flv_leads(file: BinaryIO, at: int, size: int, following: int) -> bool:
    here = at  # of the tag, which is larger than the packet by what it says of the codec
    while here < following:
        length = int.from_bytes(_read(file, here, 4)[1:], "big")
        here += _FLV_HEAD + max(length, size) + _FLV_TAIL
        size = 0
    return here == following


def _matroska_leads(file: BinaryIO, at: int, size: int, following: int) -> bool:
    here = at + _number_bytes(_read(file, at, 1)) + _BLOCK_HEAD + size
    while here < following:
        head = _read(file, here, 12)
        if not head:
            break
        id_bytes = _number_bytes(head)
        size_bytes = _number_bytes(head[id_bytes:])
        kind = int.from_bytes(head[:id_bytes], "big")
        here += id_bytes + size_bytes
        if kind in _EBML_BLOCKS and here == following:
            return True
        if kind not in _EBML_LISTS:
            here += int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & (1 << 7 * size_bytes) - 1
    return False


def _avi_ends(file: BinaryIO, at: int, size: int) -> bool:
    return any(re.fullmatch(rb"[ -~]{4}|.{0,3}", _read(file, at + size + pad, 4), re.DOTALL) for pad in (size % 2, 0))


def _flv_ends(file: BinaryIO, at: int, size: int) -> bool:
    length = int.from_bytes(_read(file, at, 4)[1:], "big")
    tail = _read(file, at + _FLV_HEAD + max(length, size), _FLV_TAIL)
    return len(tail) < _FLV_TAIL or int.from_bytes(tail, "big") in (0, length, _FLV_HEAD + length)


def _matroska_ends(file: BinaryIO, at: int, size: int) -> bool:
    head = _read(file, at + _number_bytes(_read(file, at, 1)) + _BLOCK_HEAD + size, 4)
    return len(head) < 4 or int.from_bytes(head[: _number_bytes(head)], "big") in _EBML_KNOWN


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _number_bytes(data: bytes) -> int:
    """Length of the EBML number (RFC 8794, 4) at the start of `data`."""
    return 9 - data[0].bit_length() if data else 1


_FORMATS: dict[str, tuple[_Leads, _Ends]] = {
    "avi": (_avi_leads, _avi_ends),
    "flv": (_flv_leads, _flv_ends),
    "matroska,webm": (_matroska_leads, _matroska_ends),
}
