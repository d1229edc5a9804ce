"""The packet table of a video: which coded packet shows which frame, and where decoding has to start for it.

Pure arithmetic on what the demuxer said; nothing here decodes. A *packet* is counted in decode order, a *frame* in
display order (its index for the user).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# So many usual steps from frame to frame lie between the last frame of a recording and the first of the next.
_PAUSE_STEPS = 10


class PacketInfo(NamedTuple):
    """What the container says of one packet, in decode order.

    Attributes:
        pts: presentation time stamp in units of the stream's time base, None if the container has none.
        is_key: decoding can start here.
        is_shown: False for packets that an edit list discards or that hold a hidden frame.
        is_cut: it is not whole, or may refer to a picture that is missing.
        is_packed: it lay in one chunk of the file with the packet before it.
        is_joint: the stream's clock starts again with it; what comes before and after are two recordings in one file.
    """

    pts: int | None
    is_key: bool
    is_shown: bool
    is_cut: bool
    is_packed: bool = False
    is_joint: bool = False


def parsed_cuts(packets: Sequence[PacketInfo]) -> list[PacketInfo]:
    """The packets of a transport stream, with what FFmpeg's parser says is cut put right.

    It hands a packet on when the next one starts, with what is known of that one: what is cut is either, so both count.
    Just before a joint nothing does: a joint always looks so. Where a recording ends within a packet, its decoder says.
    """
    near = {number - back for number, packet in enumerate(packets) if packet.is_joint for back in (1, 2)}
    cut = {
        number + on for number, packet in enumerate(packets) if packet.is_cut and number not in near for on in (0, 1)
    }
    return [packet._replace(is_cut=number in cut) for number, packet in enumerate(packets)]


def cut_at(packets: Sequence[PacketInfo], numbers: Collection[int]) -> list[PacketInfo]:
    """The packets, those of these numbers marked as cut."""
    return [packet._replace(is_cut=packet.is_cut or number in numbers) for number, packet in enumerate(packets)]


def unless_usual(numbers: set[int], total: int) -> set[int]:
    """Packets that break a rule of their format, of `total`; none where half do: that is their writer's way."""
    return numbers if len(numbers) < total / 2 else set()


def misplaced_packets(stamps: Sequence[int | None], *, joints: Sequence[int], slack: int) -> set[int]:
    """Packets whose decoding time does not fit between their neighbours': not of the longest rising sequence of times.

    Damage that repeats or swaps pieces of a file leaves such packets. Each recording is looked at alone. Where most
    times of a recording do not rise, its clock is no clock.

    Args:
        stamps: decoding time of every packet.
        joints: the packets with which another recording starts.
        slack: so many usual steps may a time be off: demuxers work times out where a container holds only some.
    """
    found: set[int] = set()
    for start, stop in pairwise([0, *joints, len(stamps)]):
        told = [(stamp, number) for number, stamp in enumerate(stamps[start:stop], start) if stamp is not None]
        rising = _longest_rising(told)
        if len(rising) <= len(told) / 2:
            continue
        order = np.array(sorted(rising))
        times = np.array([stamp for stamp, number in told if number in rising])
        most = slack * int(np.median(np.diff(times))) if len(times) > 1 else 0
        for stamp, number in told:
            if number not in rising:
                place = int(np.searchsorted(order, number))
                is_late = place > 0 and stamp <= times[place - 1] - most
                is_early = place < len(times) and stamp >= times[place] + most
                found |= {number} if is_late or is_early else set()
    return found


def _longest_rising(told: Sequence[tuple[int, int]]) -> set[int]:
    """The numbers of the longest sequence of (time, number) with rising times, by patience sorting."""
    ends: list[int] = []  # the least last time of a rising sequence of each length
    last: list[int] = []  # the number that this sequence ends with
    before: dict[int, int | None] = {}
    for stamp, number in told:
        place = bisect_left(ends, stamp)
        before[number] = last[place - 1] if place else None
        ends[place : place + 1], last[place : place + 1] = [stamp], [number]
    rising = set()
    at = last[-1] if last else None
    while at is not None:
        rising.add(at)
        at = before[at]
    return rising


@dataclass(frozen=True)
class Run:
    """One stretch of decoding: feed packets `start` to `stop` - 1 to get `frames` (ascending frame indices)."""

    start: int
    stop: int
    frames: tuple[int, ...]


class PacketTable:
    """Display order and decoding starts of the packets of one stream.

    Args:
        packets: in decode order.
        display_order: packet number of every frame in display order; by default the shown packets sorted by pts, one
            recording after another where several are joined.
    """

    def __init__(self, packets: Sequence[PacketInfo], *, display_order: Sequence[int] | None = None) -> None:
        self.packets = packets
        self.recording: Ints = np.cumsum([packet.is_joint for packet in packets], dtype=np.int64)
        """Number, from 0, of the recording that a packet is of."""
        if display_order is None:
            shown = [number for number, packet in enumerate(packets) if packet.is_shown]
            display_order = sorted(shown, key=lambda n: (self.recording[n], packets[n].pts or 0, n))
        self.packet_of_frame: Ints = np.array(display_order, dtype=np.int64)
        self.frame_of_packet: Ints = np.full(len(packets), -1, dtype=np.int64)
        self.frame_of_packet[self.packet_of_frame] = np.arange(len(display_order))
        self.start_of_frame: Ints = self._starts()
        latest = np.maximum.accumulate(self.frame_of_packet) if len(packets) else self.frame_of_packet
        self.is_reordered: npt.NDArray[np.bool_] = (self.frame_of_packet >= 0) & (self.frame_of_packet < latest)

    def __len__(self) -> int:
        return len(self.packet_of_frame)

    def _starts(self) -> Ints:
        """Per frame, the last key packet that comes before it (or is it) both in decode order and in display order.

        A leading frame of an open group of pictures is decoded after a key packet that is shown after it and may need
        the group before: for such a frame this gives the key packet before that one. Where there is none, 0, and the
        frame is one of `self.unfounded`: its key packet is missing, and decoders show grey soup without a complaint.
        """
        sort_keys = self._sort_keys()
        starts = np.zeros(len(self), dtype=np.int64)
        self.unfounded: set[int] = set()
        open_keys: list[int] = []
        for number, packet in enumerate(self.packets):
            if packet.is_key:
                open_keys.append(number)
            frame = self.frame_of_packet[number]
            if frame < 0:
                continue
            for key in reversed(open_keys):
                if sort_keys[key] <= sort_keys[number]:
                    starts[frame] = key
                    break
            else:
                self.unfounded.add(int(frame))
        return starts

    def _sort_keys(self) -> npt.NDArray[np.float64]:
        """A number per packet that grows with display time; hidden packets count as shown just before the next one."""
        keys = np.full(len(self.packets), -np.inf)
        following = np.inf
        for number in range(len(self.packets) - 1, -1, -1):
            if self.frame_of_packet[number] >= 0:
                following = float(self.frame_of_packet[number])
                keys[number] = following
            else:
                # NOTE: an edit list discards the frames before the first shown one, so "before the first" is right.
                keys[number] = -1.0 if self.frame_of_packet[:number].max(initial=-1) < 0 else following - 0.5
        return keys

    def needs_scan(self) -> bool:
        """True if the time stamps do not give the display order, so that only decoding the whole stream does."""
        shown = [number for number, packet in enumerate(self.packets) if packet.is_shown]
        stamps = {(self.recording[number], self.packets[number].pts) for number in shown}
        if len(stamps) < len(shown) or any(self.packets[number].pts is None for number in shown):
            return True
        if not self.packets or not self.packets[0].is_key:
            return True
        first = self.packets[0].pts
        return first is None or any(stamp < first for number, stamp in stamps if number == 0 and stamp is not None)

    @property
    def joints(self) -> list[int]:
        """The first frame of every recording but the first."""
        return (1 + np.flatnonzero(np.diff(self.recording[self.packet_of_frame]))).tolist()

    def runs(self, frames: Sequence[int]) -> list[Run]:
        """Split ascending frame indices into stretches of decoding, jumping wherever a later key packet saves work."""
        runs: list[Run] = []
        for frame in frames:
            start, packet = int(self.start_of_frame[frame]), int(self.packet_of_frame[frame])
            if runs and start <= runs[-1].stop:
                last = runs[-1]
                runs[-1] = Run(min(last.start, start), max(last.stop, packet + 1), (*last.frames, frame))
            else:
                runs.append(Run(start, packet + 1, (frame,)))
        return runs

    def first_doubtful(self, run: Run, damaged: Sequence[int]) -> int | None:
        """The first frame of the run that is damaged, or may depend on a damaged or missing packet, or None."""
        hurt = np.array(sorted(damaged), dtype=np.int64)
        for frame in run.frames:
            start, packet = self.start_of_frame[frame], self.packet_of_frame[frame]
            if frame in self.unfounded or ((hurt >= start) & (hurt <= packet)).any():
                return frame
        return None

    def average_rate(self, time_base: float) -> float | None:
        """Frames a second by the time stamps; None where these make no sense, or there is one frame only."""
        stamps = self._stamps()
        steps = np.zeros(0) if stamps is None else np.delete(np.diff(stamps), [frame - 1 for frame in self.joints])
        span = float(steps.sum()) * time_base
        return len(steps) / span if span > 0 else None

    def seconds(self, time_base: float, fps: float) -> npt.NDArray[np.float64]:
        """Presentation time of every frame in seconds from the first; index / fps where the stamps make no sense."""
        stamps = self._stamps()
        if stamps is None:
            return np.arange(len(self)) / fps
        return np.asarray((stamps - stamps[0]) * time_base, dtype=np.float64) if len(stamps) else np.zeros(0)

    def _stamps(self) -> Ints | None:
        """Time stamp of every frame, None where one is missing or they fall.

        A recording that is joined to another starts after a pause that no window of even times spans.
        """
        stamps = [self.packets[number].pts for number in self.packet_of_frame]
        if None in stamps:
            return None
        steps = np.diff(np.array(stamps, dtype=np.int64), prepend=stamps[:1])
        joints = self.joints
        if joints:
            steps[joints] = _PAUSE_STEPS * max(1, int(np.median(np.delete(steps, joints))))
        return None if (steps < 0).any() else (stamps[0] if stamps else 0) + steps.cumsum()
