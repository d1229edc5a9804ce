"""MPEG-4 part 2 states the time of every picture in its own headers: the truth about an AVI file of it.

AVI has no time stamps, so FFmpeg makes them up from the order of the packets. Where damage removes a packet, those
behind it move up, and the decoder predicts from the wrong picture without a complaint: soup that looks like a frame.
The pictures' own clock (ISO/IEC 14496-2, 6.2.3 and 6.2.5) skips a step there. It also shows which packets only hold the
place of a picture that the encoder left out. UCF101, HMDB51 and much of the web's older video are of this kind.

AVI was made for one picture in, one picture out, which B pictures break. DivX and XviD save it with the *packed
bitstream*: a reference picture and the B picture shown before it share a chunk, further B pictures have chunks of their
own, and a place holder with nothing coded brings the number of chunks up to that of the pictures. `Unpacker` takes such
chunks apart. FFmpeg's own filter for it, mpeg4_unpack_bframes, goes by size: it takes a B picture of 19 bytes, where
nothing moves, for a place holder, and drops the picture before it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from av.packet import Packet

from rspnet.video.bits import Bits
from rspnet.video.packets import PacketInfo

_VOP, _GROUP = b"\0\0\1\xb6", b"\0\0\1\xb3"
# Who packs signs for it in the user data. A chunk of one byte holds no picture in files of these encoders only.
_PACKED = re.compile(rb"DivX\d+[bB]\d+p")
_ONE_BYTE_IS_NOTHING = re.compile(rb"DivX\d|XviD\d")
_LAYERS = range(0x20, 0x30)
_HEADER_BYTES = 40
# A clock to go by: more than this share of the packets carry a time, and of the steps between times are alike.
_TRUSTED_SHARE = 0.5
_MOST_REORDERED = 64  # packets from a reference picture to the next, at most


@dataclass(frozen=True)
class Picture:
    """What a packet's header says of its picture.

    Attributes:
        is_b: shown before the last picture that others refer to, and nothing refers to it.
        is_coded: False where the packet only holds the place of a picture that was left out.
        seconds: whole seconds since the reference picture before it (of a B picture: since the one before it).
        ticks: and so many ticks.
        group: seconds that a group header before it sets the clock to, or None.
    """

    is_b: bool
    is_coded: bool
    seconds: int
    ticks: int
    group: int | None


class Part(NamedTuple):
    """A packet taken out of a chunk, and the byte of the file at which it starts (None where the container hides it).

    NOTE: where that is the chunk's own start, it is that of the header which the container puts before it.
    """

    packet: Packet[Any]
    position: int | None
    is_first: bool


class Unpacker:
    """Takes the chunks of an MPEG-4 stream apart, so that a packet holds one picture.

    Args:
        extradata: the container's copy of the stream header, or nothing.
    """

    def __init__(self, extradata: bytes) -> None:
        self._is_packed = self._is_of_divx = False
        self._resolution = 0
        self._owed = 0  # pictures that are ahead of the chunks that hold their places
        self._held: list[Part] = []
        self._read_header(extradata)

    def _read_header(self, data: bytes) -> None:
        self._resolution = self._resolution or _resolution(data)
        self._is_packed = self._is_packed or _PACKED.search(data) is not None
        self._is_of_divx = self._is_of_divx or _ONE_BYTE_IS_NOTHING.search(data) is not None

    def take(self, chunk: Packet[Any]) -> list[Part]:
        """The packets that are ready with the next chunk, none or more.

        A picture that is ahead of its chunk waits for it; the file may end before (see `rest`).

        A packet's `dts` counts pictures, as `Clock` needs it: a place holder leaves no gap, and the chunk of a picture
        that the encoder left out does.
        """
        parts = self._parts(chunk)
        if not self._is_packed:
            return parts
        self._held += parts
        ready = len(self._held) - self._owed
        packets, self._held = self._held[:ready], self._held[ready:]
        return packets

    def rest(self) -> list[Part]:
        """The packets whose chunks never came.

        NOTE: FFmpeg does not show them, and so that both count the same frames, they are hidden here.
        """
        return self._held

    def _parts(self, chunk: Packet[Any]) -> list[Part]:
        if chunk.size == 1 and self._is_of_divx:
            return []
        data = bytes(chunk)
        first = data.find(_VOP)
        if first > 0:
            self._read_header(data[:first])
        if not self._is_packed or first < 0:
            return [Part(chunk, chunk.pos, True)]
        if chunk.is_keyframe:
            self._owed = 0  # what a damaged file lost of the place holders stays lost
        starts = [0, *_find_all(_VOP, data, first + len(_VOP))]
        if self._owed and len(starts) == 1 and self._is_place_holder(data):
            self._owed -= 1
            return []
        parts = []
        for start, end in pairwise([*starts, len(data)]):
            self._owed += start > 0
            packet = chunk if len(starts) == 1 else _cut_out(chunk, data, start, end)
            if packet.dts is not None:
                packet.dts += self._owed
            parts.append(Part(packet, None if chunk.pos is None else chunk.pos + start, start == 0))
        return parts

    def _is_place_holder(self, data: bytes) -> bool:
        if not self._resolution or len(data) > _HEADER_BYTES:
            return False
        picture = _picture(data, self._resolution)
        return picture is not None and not picture.is_coded


def _cut_out(chunk: Packet[Any], data: bytes, start: int, end: int) -> Packet[Any]:
    # NOTE: `Packet(bytes)` would lend their memory out, without the zeros that decoders look at behind the end.
    part: Packet[Any] = Packet(end - start)
    part.update(data[start:end])
    part.dts, part.is_corrupt = chunk.dts, chunk.is_corrupt
    part.pts = chunk.pts if start == 0 else None
    part.is_keyframe = chunk.is_keyframe and start == 0
    return part


def _find_all(code: bytes, data: bytes, at: int) -> Iterator[int]:
    while (at := data.find(code, at)) >= 0:
        yield at
        at += len(code)


class Clock:
    """Reads the packets of one stream in decode order, then puts their table right.

    Args:
        extradata: the container's copy of the stream header, or nothing.
    """

    def __init__(self, extradata: bytes) -> None:
        self._resolution = _resolution(extradata)
        self._pictures: list[Picture | None] = []
        self._holes: set[int] = set()  # packets behind empty ones, with which an encoder leaves a picture out
        self._last_dts: int | None = None

    def take(self, packet: Packet[Any]) -> None:
        """Look at the next packet."""
        if packet.dts is not None and self._last_dts is not None and packet.dts > self._last_dts + 1:
            self._holes.add(len(self._pictures))
        self._last_dts = packet.dts
        data = bytes(packet)
        self._resolution = self._resolution or _resolution(data)
        self._pictures.append(_picture(data, self._resolution) if self._resolution else None)

    def corrected(self, rows: Sequence[PacketInfo]) -> list[PacketInfo] | None:
        """The table's rows with times of the clock, in frames, and with what may need a missing picture marked as cut.

        A packet without a time, or with a time that came before, shows nothing. None where the clock makes no
        sense.
        """
        times = _times(self._pictures, self._resolution)
        shown = sorted({time for time in times if time is not None})
        steps = np.diff(shown)
        step = float(np.median(steps)) if len(steps) else 1.0
        frames = np.maximum(1, np.rint(steps / step)).astype(int)  # that each step lasts
        is_clock = len(shown) > _TRUSTED_SHARE * len(rows) and (frames == 1).sum() > _TRUSTED_SHARE * len(frames)
        if not is_clock:
            return None
        place = dict(zip(shown, np.append(0, frames.cumsum()).tolist(), strict=True))
        gaps = [shown[number] for number in np.flatnonzero(frames > 1)]
        unplaced = _unplaced(times)
        hurt = unplaced | self._after(gaps, times, rows)
        corrected = []
        for number, (row, time, picture) in enumerate(zip(rows, times, self._pictures, strict=True)):
            is_shown = row.is_shown and number not in unplaced and picture is not None and picture.is_coded
            pts = row.pts if time is None else place[time]
            corrected.append(row._replace(pts=pts, is_shown=is_shown, is_cut=row.is_cut or number in hurt))
        return corrected

    def _after(self, gaps: Sequence[int], times: Sequence[int | None], rows: Sequence[PacketInfo]) -> set[int]:
        """Per gap in the clock, the first packet that may refer to a picture missing there.

        Nothing does if that is a B picture, or one that the encoder left out; a key packet refers to nothing.
        """
        references = sorted(
            (time, number)
            for number, (time, picture) in enumerate(zip(times, self._pictures, strict=True))
            if time is not None and picture is not None and not picture.is_b
        )
        packet_of = {time: number for number, time in reversed(list(enumerate(times)))}
        hurt = set()
        for gap in gaps:
            place = bisect_right(references, (gap, len(times)))
            known, number = references[place - 1] if place else (gap, -1)
            if known < gap and place < len(references) and references[place][1] < packet_of[gap]:
                continue  # the last picture before the gap is a B picture that has both of its references
            # B pictures shown before the gap come right behind the missing picture and refer to it.
            near = range(number + 1, min(number + 1 + _MOST_REORDERED, len(times)))
            first = next((n for n in near if not rows[n].is_key and (times[n] or known) > known), None)
            if first is not None and not self._holes.intersection(range(number + 1, first + 1)):
                hurt.add(first)
        return hurt


def _unplaced(times: Sequence[int | None]) -> set[int]:
    """Packets without a time, or with one that another packet had before."""
    seen: set[int] = set()
    found = set()
    for number, time in enumerate(times):
        if time is None or time in seen:
            found.add(number)
        else:
            seen.add(time)
    return found


def _times(pictures: Sequence[Picture | None], resolution: int) -> list[int | None]:
    """Presentation times in ticks, in decode order."""
    base = before = 0
    times: list[int | None] = []
    for picture in pictures:
        if picture is None:
            times.append(None)
            continue
        if picture.group is not None:
            base = picture.group
        if not picture.is_b:
            before, base = base, base + picture.seconds
        times.append((before + picture.seconds if picture.is_b else base) * resolution + picture.ticks)
    return times


def _resolution(data: bytes) -> int:
    """Ticks a second by the first layer header in `data`, 0 where there is none."""
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(data) and data[at + 3] not in _LAYERS:
        at = data.find(b"\0\0\1", at + 3)
    if at < 0:
        return 0
    bits = Bits(data[at + 4 : at + _HEADER_BYTES])
    try:
        bits.take(9)  # random access, type
        version = bits.take(7) >> 3 if bits.take(1) else 1
        if bits.take(4) == 15:  # aspect ratio in full
            bits.take(16)
        if bits.take(1):  # control parameters
            bits.take(3)
            if bits.take(1):  # buffer
                bits.take(79)
        if bits.take(2) == 3 and version != 1:  # shape
            bits.take(4)
        bits.take(1)
        return bits.take(16)
    except ValueError:
        return 0


def _picture(packet: bytes, resolution: int) -> Picture | None:
    """The header of the one picture in a packet, or None."""
    at = packet.find(_VOP)
    if at < 0 or packet.rfind(_VOP) != at:  # four times as fast as `count`
        return None
    group = packet.find(_GROUP, 0, at)
    bits = Bits(packet[at + 4 : at + _HEADER_BYTES])
    try:
        kind = bits.take(2)
        seconds = 0
        while bits.take(1):
            seconds += 1
        bits.take(1)
        ticks = bits.take(max(1, (resolution - 1).bit_length()))
        bits.take(1)
        is_coded = bool(bits.take(1))
        clock = None if group < 0 else _group_seconds(packet[group + 4 : group + 8])
        return Picture(kind == 2, is_coded, seconds, ticks, clock)
    except ValueError:
        return None


def _group_seconds(data: bytes) -> int:
    bits = Bits(data)
    hours, minutes = bits.take(5), bits.take(6)
    bits.take(1)
    return 3600 * hours + 60 * minutes + bits.take(6)
