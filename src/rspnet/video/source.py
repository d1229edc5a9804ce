"""Opening a file as a video: what is refused before anything is decoded, and the one demuxing pass."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rspnet.core.errors import DecodeError
from rspnet.core.heartbeat import alive
from rspnet.core.urls import UrlPath
from rspnet.video.fetched import VideoBytes
from rspnet.video.mpeg4 import Part, Unpacker
from rspnet.video.packets import PacketInfo

# What a file may ask for: pictures of twice 8K (a decoder then needs some 100 MB) and two days at 30 frames a second.
MAX_SIDE = 16384
MAX_PIXELS = 2**26
MAX_PACKETS = 5_000_000
KEEP_BYTES = 64 * 2**20
"""Packets of a stream up to this size stay in memory; a longer stream is demuxed again from its start when needed."""
PACKET_BYTES = 600
"""What stands in memory around a packet's content."""

# Containers in which every packet says its time by a clock that nothing else ties it to: files joined end to end play.
RUNNING_CLOCKS = {"mpegts", "mpeg", "flv"}
# FFmpeg also shows two of these joined.
_JOINED = RUNNING_CLOCKS | {"matroska,webm"}
_JOINT_SECONDS = 0.2

# A stream with fewer frames than another by this factor is no second film.
_PREVIEW_SHARE = 10

# FFmpeg finds streams that need no container (MPEG-4, DV) in the middle of these.
_ARCHIVES = {"a tar archive": (257, b"ustar"), "a zip archive": (0, b"PK\x03\x04"), "an ar archive": (0, b"!<arch>")}
_HEAD_BYTES = 512

_NOT_VIDEO = ("tty", "ansi", "image2", "subviewer", "hls", "concat", "dash")


class PacketTag:
    """Travels with a packet through the decoder to its frame: exact identity, whatever the time stamps say.

    NOTE: PyAV keeps opaque values by `id`, so every packet needs an object of its own (a small int would be shared).

    Attributes:
        number: of the packet in decode order.
        position: the byte of the file at which it (or what the container puts before it) starts, if that is known.
        is_packed: it is not the first one in its chunk of a packed bitstream.
        is_shown: False for a picture of such a bitstream that the end of the file leaves without a place.
        is_joint: the stream's clock starts again with it.
    """

    __slots__ = ("is_joint", "is_packed", "is_shown", "number", "position")

    def __init__(self, number: int, part: Part, *, is_shown: bool, is_joint: bool = False) -> None:
        self.number = number
        self.position = part.position
        self.is_packed = not part.is_first
        self.is_shown = is_shown
        self.is_joint = is_joint


def memory_of(packet: Packet[Any]) -> int:
    """Bytes that a packet takes in memory: in a small film its content is less than half of it."""
    return packet.size + PACKET_BYTES


def open_container(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open the file and the best of its video streams, FFmpeg's own choice (cover pictures do not count).

    Raises:
        DecodeError: missing, not a regular file, empty, no known container, no video stream, no decoder, too large.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise DecodeError(path, getattr(error, "strerror", None) or str(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise DecodeError(path, "a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    if status.st_size == 0:
        raise DecodeError(path, "the file is empty")
    # The prefix keeps FFmpeg from reading a protocol ("concat:", "http:") out of a file's name.
    file: Any = VideoBytes(path, status) if isinstance(path, UrlPath) else f"file:{os.fspath(path)}"
    options = {"protocol_whitelist": "none" if isinstance(path, UrlPath) else "file", "max_pixels": str(MAX_PIXELS)}
    try:
        container = av.open(file, mode="r", options=options, metadata_errors="replace")
    except DecodeError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(path, f"not a readable video container ({reason(error)})") from None
    try:
        return container, _video_stream(path, container)
    except BaseException:
        container.close()
        raise


def bytes_of(container: InputContainer) -> VideoBytes | None:
    """What an object is read by; None of a local file."""
    file = container.file.file if container.file is not None else None
    return file if isinstance(file, VideoBytes) else None


def file_identity(path: Path, container: InputContainer | None = None) -> tuple[int, int, int, int]:
    """Distinguishes a file from another that took its name, and from itself with other content.

    Args:
        path: the file.
        container: the file, just opened: what a store then said of an object need not be asked again.

    Raises:
        DecodeError: there is no such file any more.
    """
    opened = None if container is None else bytes_of(container)
    try:
        status = path.stat() if opened is None else opened.status
    except OSError as error:
        raise DecodeError(path, error.strerror or str(error)) from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    name = container.format.name
    if name.endswith("_pipe") or any(part in _NOT_VIDEO for part in name.split(",")):
        raise DecodeError(path, f"not a video container (FFmpeg reads it as {name!r})")
    if archive := _archive(path, container):
        raise DecodeError(path, f"it is {archive}: name the folder of its videos")
    streams = film_streams(container)
    if not streams:
        raise DecodeError(path, "no video stream in it")
    stream = _film(container, streams)
    context: Any = stream.codec_context
    if context is None:
        raise DecodeError(path, "no decoder for its video codec")
    check_size(path, context.width, context.height)
    _set_up(context)
    return stream


def _archive(path: Path, container: InputContainer) -> str:
    """What kind of archive a file is, "" where it is none."""
    opened = bytes_of(container)
    if opened is None:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    else:
        place = opened.tell()
        opened.seek(0)
        head = opened.read(_HEAD_BYTES)
        opened.seek(place)  # FFmpeg goes on from there
    return next((kind for kind, (place, magic) in _ARCHIVES.items() if head[place:].startswith(magic)), "")


def decoder_of(stream: VideoStream) -> Any:
    """The context that decodes a stream which `open_container` gave.

    VP9 is decoded by libvpx where FFmpeg has it: it takes what a picture's data leave over for another picture and
    fails, which is how a changed bit nearly always shows. FFmpeg's own decoder does not look there.
    """
    context: Any = stream.codec_context
    if context.name != "vp9":
        return context
    try:
        stricter: Any = CodecContext.create("libvpx-vp9", "r")
    except (av.error.FFmpegError, ValueError):
        return context
    stricter.width, stricter.height = context.width, context.height
    _set_up(stricter)
    return stricter


def _set_up(context: Any) -> None:
    # Loader workers are the parallelism; a decoder's own threads would add delay and memory to every one of them.
    context.thread_type = "NONE"
    context.thread_count = 1
    context.copy_opaque = True
    # Checksums of pictures (HEVC) are looked at where there are any, and data of H.264 must not go on behind a slice.
    checks = "explode+crccheck+aggressive" if context.name == "h264" else "explode+crccheck"
    context.options = {"err_detect": checks, "max_pixels": str(MAX_PIXELS)}


def _film(container: InputContainer, streams: list[VideoStream]) -> VideoStream:
    """FFmpeg's choice, if that is not the cover or preview of another stream: far fewer frames, where known.

    NOTE: FFmpeg itself looks at the default mark first, which every writer of MP4 sets on the first stream.
    """
    most = max(stream.frames for stream in streams)
    long = [stream for stream in streams if not 0 < stream.frames * _PREVIEW_SHARE < most]
    best: Any = container.streams.best("video")
    return best if best in long else max(long, key=lambda stream: stream.width * stream.height)


def film_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams, less those that are marked as cover pictures."""
    return [s for s in container.streams.video if not s.disposition & type(s.disposition).attached_pic]


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse pictures that would need more memory than any camera's.

    Raises:
        DecodeError: a side or the number of pixels is over the limit.
    """
    if not (0 <= width <= MAX_SIDE and 0 <= height <= MAX_SIDE and width * height <= MAX_PIXELS):
        limit = f"{MAX_SIDE} a side or {MAX_PIXELS / 1e6:.0f} million pixels"
        raise DecodeError(path, f"its pictures are {width}x{height}: more than {limit}")


def demux(path: Path, container: InputContainer, stream: VideoStream, *, first: int = 0) -> Iterator[Packet[Any]]:
    """The stream's packets in decode order, one picture each, tagged with its number; the next one is number `first`.

    Raises:
        DecodeError: the demuxer fails.
    """
    number = first
    joints = _Joints(stream) if container.format.name in _JOINED else None
    unpacker = Unpacker(stream.codec_context.extradata or b"") if stream.codec_context.name == "mpeg4" else None
    try:
        for chunk in _chunks(container, stream):
            for part in (Part(chunk, chunk.pos, True),) if unpacker is None else unpacker.take(chunk):
                if number >= MAX_PACKETS:
                    raise DecodeError(path, f"more than {MAX_PACKETS:,} packets")
                is_joint = joints is not None and joints.take(part.packet)
                part.packet.opaque = PacketTag(number, part, is_shown=True, is_joint=is_joint)
                alive()
                number += 1
                yield part.packet
        for part in [] if unpacker is None else unpacker.rest():
            part.packet.opaque = PacketTag(number, part, is_shown=False)
            number += 1
            yield part.packet
    except av.error.FFmpegError as error:
        raise DecodeError(path, f"the container breaks off after {number} packets ({reason(error)})") from None


def _chunks(container: InputContainer, stream: VideoStream) -> Iterator[Packet[Any]]:
    """What holds data, as the container has it."""
    try:
        for chunk in container.demux(stream):
            if chunk.size:
                yield chunk
    except IndexError:
        # NOTE: PyAV, behind the last packet, looks for a stream that damage made FFmpeg see in the middle of the file.
        return


class _Joints:
    """Sees where a stream's clock starts again: decoding time falls by more than damage to a stamp or two would."""

    def __init__(self, stream: VideoStream) -> None:
        self._most_back = _JOINT_SECONDS / (stream.time_base or 1)
        self._last: int | None = None

    def take(self, packet: Packet[Any]) -> bool:
        now, last = packet.dts, self._last
        self._last = last if now is None else now
        return packet.is_keyframe and now is not None and last is not None and last - now > self._most_back


def describe_packet(packet: Packet[Any], *, codec: str) -> PacketInfo:
    """The table's row of a packet."""
    tag = tag_of(packet)
    hidden = codec == "vp8" and packet.size > 0 and not memoryview(packet)[0] & 0x10  # RFC 6386, 9.1: show_frame
    return PacketInfo(
        pts=packet.pts,
        is_key=packet.is_keyframe,
        is_shown=not packet.is_discard and not hidden and tag.is_shown,
        is_cut=packet.is_corrupt,
        is_packed=tag.is_packed,
        is_joint=tag.is_joint,
    )


def tag_of(packet: Packet[Any]) -> PacketTag:
    """The tag of a packet that `demux` gave."""
    tag = packet.opaque
    assert isinstance(tag, PacketTag)
    return tag


def reason(error: BaseException) -> str:
    """One short phrase of an FFmpeg error, without the path and the number."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
