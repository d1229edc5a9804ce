"""What one pass over a video's packets gives: a row for each packet, the packets themselves, and where they lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rspnet.video.chain import broken_steps, with_breaks
from rspnet.video.h264 import FrameNumbers
from rspnet.video.index_cache import VARIABLE, PacketPlace
from rspnet.video.jpeg import Pictures
from rspnet.video.mpeg4 import Clock
from rspnet.video.packets import PacketInfo, PacketTable, cut_at, misplaced_packets, parsed_cuts
from rspnet.video.source import KEEP_BYTES, PACKET_BYTES, RUNNING_CLOCKS, demux, describe_packet, memory_of, tag_of

# The container's rate is taken where the time stamps, which are rounded, bear it out to this share.
_RATE_TOLERANCE = 0.02
# Containers that stamp pictures with the time to decode them, and how many usual steps FFmpeg may be off where not all
# have a stamp.
_DECODING_CLOCKS = {"flv": 0, "mpegts": 3}


@dataclass(frozen=True)
class Demuxed:
    """A stream's packets in decode order.

    Attributes:
        rows: what the container says of each.
        timed: the rows by the pictures' own clock, or None where they have none.
        kept: the packets, or None for a stream that is too long to be kept in memory.
        places: where they lie in the file, or None where nobody will ask.
    """

    rows: list[PacketInfo]
    timed: list[PacketInfo] | None
    kept: list[Packet[Any]] | None
    places: list[PacketPlace] | None


def demux_whole(path: Path, container: InputContainer, stream: VideoStream, *, has_stamps: bool) -> Demuxed:
    """Demux the stream from its start to its end.

    Raises:
        DecodeError: the demuxer fails.
    """
    rows: list[PacketInfo] = []
    # What is kept for a while and then is too much stays with the process, scattered among the rows.
    kept: list[Packet[Any]] | None = [] if container.size + stream.frames * PACKET_BYTES <= KEEP_BYTES else None
    places: list[PacketPlace] | None = [] if os.environ.get(VARIABLE) else None
    stamps: list[int | None] = []
    spans: list[tuple[int | None, int]] = []
    kept_bytes = 0
    codec = stream.codec_context
    clock = Clock(codec.extradata or b"") if codec.name == "mpeg4" and not has_stamps else None
    check = _check(codec.name, codec.extradata or b"", container.format.name)
    for packet in demux(path, container, stream):
        rows.append(describe_packet(packet, codec=codec.name))
        stamps.append(packet.dts)
        spans.append((packet.pos, packet.size))
        if places is not None:
            stamp = packet.dts if packet.pts is None else packet.pts
            places.append(PacketPlace(tag_of(packet).position, packet.size, stamp))
        kept_bytes += memory_of(packet)
        for looks in (clock, check):
            if looks is not None:
                looks.take(packet)
        if kept is not None:
            kept.append(packet)
            if kept_bytes > KEEP_BYTES:
                kept = None
    rows = _with_damage(rows, stamps, container.format.name)
    if clock is not None:
        return Demuxed(rows, clock.corrected(rows), kept, places)
    rows = with_breaks(rows, broken_steps(path, container.format.name, spans), has_clock=has_stamps)
    return Demuxed(rows if check is None else check.corrected(rows), None, kept, places)


def _with_damage(rows: list[PacketInfo], stamps: list[int | None], container: str) -> list[PacketInfo]:
    """The rows, with what FFmpeg and the decoding times say of damage."""
    if container in RUNNING_CLOCKS:
        rows = parsed_cuts(rows)
    slack = _DECODING_CLOCKS.get(container)
    if slack is None:
        return rows
    joints = [number for number, row in enumerate(rows) if row.is_joint]
    return cut_at(rows, misplaced_packets(stamps, joints=joints, slack=slack))


def _check(codec: str, extradata: bytes, container: str) -> FrameNumbers | Pictures | None:
    """Sees what packets themselves say of damage. An MP4 counts its packets, so that none is lost there."""
    if codec == "h264" and not container.startswith("mov,"):
        return FrameNumbers(extradata)
    return Pictures() if codec == "mjpeg" else None


def average_rate(stream: VideoStream, table: PacketTable, *, has_stamps: bool) -> float:
    """Frames a second: what the container says, unless its time stamps say something else.

    The header of a recording is a guess that was made before the first frame.
    """
    rate: Fraction | None = stream.average_rate or stream.guessed_rate
    said = float(rate) if rate and 0 < rate < 100_000 else None
    base = stream.time_base
    told = table.average_rate(float(base)) if base and (has_stamps or said is None) else None
    if said is None or (told is not None and abs(said - told) > _RATE_TOLERANCE * told):
        return told or said or 25.0
    return said
