"""Frame-exact random access to video files.

All packets are demuxed once at opening. A frame is found by the *identity* of its packet (a tag that the decoder copies
from packet to frame), never by a seek in the container or a comparison of time stamps: decoding starts at the last key
packet before the frame in both decode and display order, and packets come from memory (or, for streams over
`source.KEEP_BYTES`, from demuxing the file again, once where reads go forward, see `packet_cursor`; with a table kept
on disk, see `index_cache`, from there on where the packets prove to be the right ones). Unwanted frames that no other
frame refers to are not decoded.
"""

from __future__ import annotations

import operator
import os
import reprlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from types import TracebackType
from typing import Any, Self, SupportsIndex, cast

import av
import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.video.frame import VideoFrame

from rspnet.core.counts import counted
from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.core.heartbeat import alive
from rspnet.core.urls import as_path
from rspnet.video.demuxing import average_rate, demux_whole
from rspnet.video.header_index import HeaderIndex, header_index
from rspnet.video.index_cache import LONG_PACKETS, PacketIndex, keep_index, load_index
from rspnet.video.orientation import Orientation, display_degrees, frame_orientation, pixel_aspect, square_width
from rspnet.video.packet_cursor import PacketCursor
from rspnet.video.packets import PacketTable, Run
from rspnet.video.source import check_size, decoder_of, file_identity, open_container, reason
from rspnet.video.views import Converter, Pixels, View, ViewSink, check_view
from rspnet.video.watch import Watch

__all__ = ["VIDEO_SUFFIXES", "VideoReader", "View", "open_video"]

_SUFFIXES = "3gp asf avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv"
VIDEO_SUFFIXES = frozenset("." + suffix for suffix in _SUFFIXES.split(" "))

# Containers without presentation time stamps: FFmpeg makes them up, rightly for one layer of B-frames only.
_STAMPLESS_CONTAINERS = {"avi", "h264", "hevc", "m4v", "mpegvideo"}
_PYRAMID_CODECS = {"h264", "hevc", "vc1", "av1", "vvc"}
_FeedResult = tuple[list[int], set[int]]


def _whole(index: object) -> int:
    """A frame's index; a truth value is none, as a mask would mean the frames 0 and 1."""
    if isinstance(index, bool) or str(getattr(index, "dtype", "")).endswith("bool"):
        raise TypeError("a truth value")
    return operator.index(cast(SupportsIndex, index))


def open_video(path: str | os.PathLike[str]) -> VideoReader:
    """Open a video for frame-exact reading; use it in a `with` statement.

    Args:
        path: a file, or a URL (s3://, gs://, az://, https://, hf://, file://, memory://; extra `rspnet[remote]`).

    Raises:
        DecodeError: the file is missing, no video, or damaged before its first frame.
    """
    return VideoReader(path)


class VideoReader:
    """An open video: frames by index in display order, edit lists, rotation and the shape of pixels applied.

    Attributes:
        path: the file.
        fps: average frames a second; of a file without time stamps (AVI) the stated rate, missing frames or not.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(path)
        self._cursor = PacketCursor(self.path)
        self._container, self._stream = open_container(self.path)
        try:
            self._identity = file_identity(self.path, self._container)
            self._context = decoder_of(self._stream)
            self._has_stamps = self._container.format.name not in _STAMPLESS_CONTAINERS
            self._index: PacketIndex | None = load_index(self.path) or header_index(self.path, self._container)
            self._kept: list[Packet[Any]] | None = [] if self._index is None else None
            self._damaged: set[int] = set()
            self._table = self._read_table() if self._index is None else self._index.table
            self.fps = average_rate(self._stream, self._table, has_stamps=self._has_stamps)
            self._closed = False
            self._aspect = pixel_aspect(self._stream)
            self._shape: tuple[int, int, Orientation] | None = None
            self._converter = Converter()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; more calls do nothing."""
        self._closed = True
        self._kept = None
        self._cursor.close()
        self._container.close()

    def forget_damage(self) -> None:
        """Be as after opening: what is read next does not depend on the damage that was met before."""
        self._damaged.clear()

    def __len__(self) -> int:
        return len(self._table)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Presentation time of every frame in seconds from the first, [N]."""
        base = self._stream.time_base
        return self._table.seconds(float(base) if base else 1 / self.fps, self.fps)

    @property
    def width(self) -> int:
        """Width of the displayed picture in pixels (after rotation)."""
        return self._geometry()[1]

    @property
    def height(self) -> int:
        """Height of the displayed picture in pixels (after rotation)."""
        return self._geometry()[0]

    def frames_at(self, indices: Sequence[int]) -> Pixels:
        """Whole frames, uint8 [N, H, W, 3], in the order asked for; any order, repeats allowed.

        Raises:
            RSPNetError: an index out of range or no whole number, or the video is closed.
            DecodeError: a frame is damaged or may depend on a damaged one.
        """
        try:
            whole = [_whole(index) for index in indices]
        except TypeError as error:
            given = " ".join(reprlib.repr(indices).split())
            raise RSPNetError(f"{str(self.path)!r}: frame indices must be whole numbers, not {given}") from error
        return self.read_views([View(whole)])[0]

    def read_views(self, views: Sequence[View], *, watch: Watch | None = None) -> list[Pixels]:
        """Several crops of several frame lists in one decoding pass, each uint8 [n, h, w, 3].

        A frame in several views is decoded and converted once; a frame in none is never converted.

        Args:
            views: what is wanted.
            watch: shown its frames, too.

        Raises:
            RSPNetError: an index, box or size outside the video, or the video is closed.
            DecodeError: a frame is damaged or may depend on a damaged one.
        """
        views = [View([int(i) for i in v.indices], v.box, v.size, v.flip) for v in views]
        self._check_open()
        height, width, (turns, mirrored) = self._geometry()
        coded_width = height if turns % 2 else width
        sinks = []
        for view in views:
            try:
                box, size = check_view(view, num_frames=len(self), height=height, width=width)
            except RSPNetError as error:
                raise RSPNetError(f"{str(self.path)!r}: {error}") from None
            if mirrored:  # the same crop of the picture before its mirror, flipped
                box = (box[0], width - box[1] - box[3], *box[2:])
                view = replace(view, flip=not view.flip)
            sinks.append(ViewSink(view, box=box, size=size, quarter_turns=turns, square_width=coded_width))

        def convert(index: int, frame: VideoFrame) -> None:
            picture: Pixels | None = None
            for sink in sinks:
                if index not in sink.frames:
                    continue
                if sink.takes_graph(frame):
                    sink.add_frame(index, frame)
                    continue
                picture = self._converter.rgb(frame, turns, width=coded_width) if picture is None else picture
                sink.add_rgb(index, picture)

        def deliver(index: int, frame: VideoFrame) -> None:
            self._check_geometry(index, frame)
            if watch is not None and index in watch.frames:
                watch.add(index, frame)
            try:
                convert(index, frame)
            except av.error.FFmpegError as error:
                what = f"{frame.format.name}, colour space {int(frame.colorspace)} of H.273: {reason(error)}"
                raise DecodeError(self.path, f"its pictures cannot be turned into RGB ({what})") from None

        wanted = {index for view in views for index in view.indices}
        self._decode(sorted(wanted if watch is None else wanted | watch.frames), deliver)
        return [sink.clip() for sink in sinks]

    @property
    def is_packed(self) -> bool:
        """Whether chunks of the file hold two pictures: the packed bitstream of DivX and XviD."""
        return any(packet.is_packed for packet in self._table.packets)

    @property
    def joints(self) -> list[int]:
        """The frames with which another recording starts, where several are joined in one file."""
        return self._table.joints

    # --- the packet table -------------------------------------------------------------------------------------------

    def _read_table(self) -> PacketTable:
        found = demux_whole(self.path, self._container, self._stream, has_stamps=self._has_stamps)
        self._kept = found.kept
        table = PacketTable(found.timed or found.rows)
        is_pyramid = not self._has_stamps and self._context.name in _PYRAMID_CODECS
        needs_scan = found.timed is None and (is_pyramid or table.needs_scan())
        if needs_scan:
            table = PacketTable(found.rows, display_order=self._scan(table))
        if not len(table):
            raise DecodeError(self.path, "no decodable frame in it")
        if found.places is not None and (needs_scan or len(found.rows) >= LONG_PACKETS):
            keep_index(self.path, table, found.places)
        return table

    def _scan(self, table: PacketTable) -> list[int]:
        """The display order found by decoding everything: the frames that come out, as they come out."""
        everything = Run(0, len(table.packets), tuple(range(len(table))))
        order, _ = self._feed(everything, table, lambda *_: None)
        return [number for number in order if table.packets[number].is_shown]

    # --- decoding ---------------------------------------------------------------------------------------------------

    def _packets(self, start: int) -> Iterator[Packet[Any]]:
        if self._kept is not None:
            yield from self._kept[start:]
            return
        if file_identity(self.path) != self._identity:
            raise DecodeError(self.path, "the file changed while it was read")
        if self._index is not None:
            yield from self._index.packets(self.path, start)
            return
        yield from self._cursor.packets(start)

    def _decode(self, frames: Sequence[int], deliver: Callable[[int, VideoFrame], None]) -> None:
        """Call `deliver` once or more with every wanted frame (ascending indices); all are sound on return."""
        if isinstance(self._index, HeaderIndex):
            with suppress(DecodeError):
                if all(self._sound(run, deliver) is None for run in self._table.runs(frames)):
                    return
            self._read_whole()
        for run in self._table.runs(frames):
            if self._sound(run, deliver) is None:
                continue
            # A key packet that only starts a gradual refresh, or stamps that lie: everything from the first packet.
            doubtful = self._sound(Run(0, run.stop, run.frames), deliver)
            if doubtful is not None:
                raise DecodeError(
                    self.path, f"frame {doubtful} of {len(self)} is damaged, or depends on a damaged or missing one"
                )

    def _read_whole(self) -> None:
        """Look at all packets, where the header's word for them is in doubt."""
        frames = len(self)
        self._renew_decoder()
        self._index, self._kept, self._damaged = None, [], set()
        self._table = self._read_table()
        if len(self) != frames:
            raise DecodeError(self.path, f"its header speaks of {counted(frames, 'frame')}, the file holds {len(self)}")

    def _sound(self, run: Run, deliver: Callable[[int, VideoFrame], None]) -> int | None:
        order, damaged = self._feed(run, self._table, deliver)
        if damaged:
            self._renew_decoder()
        if run.start == 0:  # nothing was missing, so what is damaged here always is; a decoder need not notice again
            self._damaged |= damaged
        doubtful = self._table.first_doubtful(run, sorted(damaged | self._damaged))
        if doubtful is None and not self._has_stamps:
            shown = [int(self._table.frame_of_packet[number]) for number in order]
            doubtful = next((frame for frame, after in pairwise(shown) if after <= frame), None)
        return doubtful

    def _renew_decoder(self) -> None:
        """Take a new decoder: flushing does not clear all that damage leaves in one, which may crash it later."""
        container, stream = open_container(self.path)
        if file_identity(self.path, container) != self._identity:
            container.close()
            raise DecodeError(self.path, "the file changed while it was read")
        self._container.close()
        self._container, self._stream, self._context = container, stream, decoder_of(stream)

    def _feed(self, run: Run, table: PacketTable, deliver: Callable[[int, VideoFrame], None]) -> _FeedResult:
        """Decode one run.

        Returns:
            packet numbers of the frames in the order they came out, and the damaged packets: those that the decoder
            refused, flagged, or gave no frame for.
        """
        context = self._context
        wanted = set(run.frames)
        awaited: set[int] = set()
        damaged: set[int] = set()
        order: list[int] = []

        def take(pictures: list[VideoFrame]) -> None:
            for picture in pictures:
                tag: Any = picture.opaque
                if tag is None or tag.number < run.start:
                    continue
                order.append(tag.number)
                awaited.discard(tag.number)
                if picture.is_corrupt:
                    damaged.add(tag.number)
                frame = int(table.frame_of_packet[tag.number])
                if frame in wanted:
                    deliver(frame, picture)

        context.flush_buffers()
        for number, packet in enumerate(self._packets(run.start), run.start):
            if number >= run.stop:
                break
            alive()
            frame = int(table.frame_of_packet[number])
            # B-frames that nothing refers to are left out unless wanted; a decoder in doubt decodes them.
            # The container has to say that it is one (it displays before an earlier packet): where damage makes a
            # P-frame's own header say so, leaving it out would hide the damage.
            skippable = self._has_stamps and bool(table.is_reordered[number]) and frame not in wanted
            context.skip_frame = "NONREF" if skippable else "DEFAULT"
            if frame >= 0 and not skippable:
                awaited.add(number)
            if table.packets[number].is_cut:
                damaged.add(number)
            try:
                pictures = context.decode(packet)
            except av.error.FFmpegError:
                damaged.add(number)
                continue
            take(pictures)
        try:
            pictures = context.decode(None)
        except av.error.FFmpegError:
            damaged |= awaited
        else:
            take(pictures)
        # Leading frames of an open group, decoded without the group before: broken by nature and never wanted here.
        leading = {n for n in damaged | awaited if 0 <= table.frame_of_packet[n] < table.frame_of_packet[run.start]}
        return order, (damaged | awaited) - leading

    # --- geometry ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise RSPNetError(f"{str(self.path)!r} is closed: read inside its `with` block, or open it again")

    def _geometry(self) -> tuple[int, int, Orientation]:
        """Displayed height and width, and how the coded picture is turned to be displayed."""
        self._check_open()
        if self._shape is None:
            found: list[tuple[int, int, Orientation]] = []
            start = int(self._table.start_of_frame[0])
            first = Run(start, int(self._table.packet_of_frame[0]) + 1, (0,))
            self._feed(first, self._table, lambda index, frame: found.append(self._frame_geometry(index, frame)))
            if not found and not (self._context.height and self._context.width):
                raise DecodeError(self.path, "its first frame cannot be decoded, and nothing else tells its size")
            width = square_width(self._context.width, self._aspect)
            self._shape = found[0] if found else (self._context.height, width, Orientation(0, False))
        return self._shape

    def _frame_geometry(self, index: int, frame: VideoFrame) -> tuple[int, int, Orientation]:
        orientation = frame_orientation(frame)
        if orientation is None:
            angle = display_degrees(frame)
            turned = "turned in no direction" if angle is None else f"rotated by {angle:.0f} degrees"
            raise DecodeError(self.path, f"frame {index} is {turned}, no multiple of 90")
        height, width = frame.height, square_width(frame.width, self._aspect)
        check_size(self.path, width, height)
        size = (width, height) if orientation.quarter_turns % 2 else (height, width)
        return *size, orientation

    def _check_geometry(self, index: int, frame: VideoFrame) -> None:
        geometry = self._frame_geometry(index, frame)
        if geometry != self._shape:
            raise DecodeError(
                self.path,
                f"frame {index} is {geometry[1]}x{geometry[0]} where the first is {self.width}x{self.height}: "
                "videos that change their picture's size or orientation are not read",
            )
