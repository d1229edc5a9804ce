"""H.264 counts its reference pictures in their own headers: the truth about packets that a container lost.

Where damage removes a packet from an FLV, a transport stream, a Matroska or an AVI file, the decoder makes a picture up
in its place and predicts from that without a complaint: soup that looks like a frame. `frame_num` (ISO/IEC 14496-10,
7.4.3) grows by one from reference picture to reference picture, so it skips a number there, and repeats one where
packets come twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from av.packet import Packet

from rspnet.video.bits import Bits
from rspnet.video.packets import PacketInfo, cut_at, unless_usual

_INTRA = 2  # type of slice, modulo 5
_SLICE, _IDR, _SPS, _PPS = 1, 5, 7, 8
_HEADER_BYTES = 32  # of a slice, more than its first four numbers need
_START = b"\0\0\1"
_CHROMA_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244}


class _Sequence(NamedTuple):
    """What a sequence parameter set says of the count of pictures.

    Attributes:
        bits: of a frame number.
        has_planes: slices name a colour plane.
        may_skip: numbers may be left out.
        is_progressive: no picture is a field.
    """

    bits: int
    has_planes: bool
    may_skip: bool
    is_progressive: bool


class FrameNumbers:
    """Reads the packets of one stream in decode order, then marks what comes behind a missing reference picture.

    Args:
        extradata: the container's copy of the parameter sets, or nothing.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length_bytes = 0  # of a unit, 0 where start codes part them
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}
        self._previous: int | None = None
        self._may_restart = False
        self._gaps: set[int] = set()
        self._count = 0
        for unit in self._header_units(extradata):
            self._read_set(unit)

    def take(self, packet: Packet[Any]) -> None:
        """Look at the next packet."""
        number, self._count = self._count, self._count + 1
        for unit in self._units(bytes(packet)):
            kind = unit[0] & 0x1F if unit else 0
            if kind in (_SPS, _PPS):
                self._read_set(unit)
            elif kind in (_SLICE, _IDR):
                if not self._goes_on(unit):
                    self._gaps.add(number)
                return

    def corrected(self, rows: Sequence[PacketInfo]) -> list[PacketInfo]:
        """The table's rows with what may need a missing picture marked as cut.

        A key packet needs none. Where the count makes no sense, nothing is marked.
        """
        gaps = {number for number in self._gaps if not rows[number].is_key}
        return cut_at(rows, unless_usual(gaps, len(rows)))

    def _goes_on(self, unit: bytes) -> bool:
        """Whether the picture of this slice follows the last picture."""
        is_idr, is_reference = unit[0] & 0x1F == _IDR, bool(unit[0] & 0x60)
        bits = Bits(_plain(unit[1:_HEADER_BYTES]))
        try:
            bits.unsigned()  # first macroblock
            kind = bits.unsigned() % 5
            sequence = self._sequences[self._sequence_of[bits.unsigned()]]
            bits.take(2 * sequence.has_planes)
            number = bits.take(sequence.bits)
        except (KeyError, ValueError):
            return True  # the decoder will say
        last, may_restart = self._previous, self._may_restart
        if is_reference:
            self._previous, self._may_restart = number, kind == _INTRA and not is_idr
        if is_idr or last is None or sequence.may_skip:
            return True
        allowed = {(last + 1) % (1 << sequence.bits)}
        if not sequence.is_progressive:
            allowed.add(last)  # the second field of a picture
        # An intra picture may reset the count as an IDR picture does (memory management operation 5).
        return number in allowed or (may_restart and number <= 1)

    def _header_units(self, extradata: bytes) -> Iterator[bytes]:
        if not extradata.startswith(b"\1") or len(extradata) < 7:
            yield from self._units(extradata)
            return
        self._length_bytes = 1 + (extradata[4] & 3)
        at, count = 6, extradata[5] & 0x1F
        for kind in range(2):
            if kind:
                count, at = int.from_bytes(extradata[at : at + 1], "big"), at + 1
            for _ in range(count):
                size = int.from_bytes(extradata[at : at + 2], "big")
                yield extradata[at + 2 : at + 2 + size]
                at += 2 + size

    def _units(self, data: bytes) -> Iterator[bytes]:
        if not self._length_bytes:
            at = data.find(_START)
            while at >= 0:
                following = data.find(_START, at + 3)
                yield data[at + 3 : following if following >= 0 else len(data)]
                at = following
            return
        at = 0
        while at + self._length_bytes < len(data):
            size = int.from_bytes(data[at : at + self._length_bytes], "big")
            at += self._length_bytes
            yield data[at : at + size]
            at += size

    def _read_set(self, unit: bytes) -> None:
        bits = Bits(_plain(unit[1:]))
        try:
            if unit[0] & 0x1F == _SPS:
                number, sequence = _sequence(bits)
                self._sequences[number] = sequence
            elif unit[0] & 0x1F == _PPS:
                number = bits.unsigned()
                self._sequence_of[number] = bits.unsigned()
        except (IndexError, ValueError):
            return


def _plain(data: bytes) -> bytes:
    """Without the bytes that keep start codes out of the data (7.4.1)."""
    return data.replace(b"\0\0\3", b"\0\0")


def _sequence(bits: Bits) -> tuple[int, _Sequence]:
    """Number and content of a sequence parameter set (7.3.2.1.1). Raises ValueError where it is none."""
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    number = bits.unsigned()
    has_planes = False
    if profile in _CHROMA_PROFILES:
        chroma = bits.unsigned()
        has_planes = chroma == 3 and bool(bits.take(1))
        bits.unsigned(), bits.unsigned(), bits.take(1)  # depths of luma and chroma, bypass
        if bits.take(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_bits = bits.unsigned() + 4
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1), bits.signed(), bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    bits.unsigned()  # reference frames
    may_skip = bool(bits.take(1))
    bits.unsigned(), bits.unsigned()  # width, height
    if frame_bits > 16:
        raise ValueError("no sequence parameter set")
    return number, _Sequence(frame_bits, has_planes, may_skip, bool(bits.take(1)))


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
