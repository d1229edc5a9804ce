"""Other people's videos, held against FFmpeg: `python -m helpers.corpus FOLDER`, or `make corpus DIR=FOLDER`.

Every video under the folder is decoded twice, each time in a process of its own: from first to last by FFmpeg in the
plainest loop, and by the reader, from first to last and then single frames in random order. What is compared: the
number of frames, their order, every picture byte for byte, and the colours with those worked out from the coded planes
by the formulas of BT.601, BT.709 and BT.2020. Files that FFmpeg itself cannot read, or finds damaged, may be refused.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from helpers.videos import plain_picture

from rspnet.core.errors import DecodeError
from rspnet.core.heartbeat import note
from rspnet.core.workers import Death, Replace, ordered_map
from rspnet.video.reader import VIDEO_SUFFIXES, open_video

RIGHT, NO_VIDEO, DAMAGED = "right", "no video", "damaged"
REFUSED, DIFFERS = "REFUSED WRONGLY", "DIFFERS"
_SUFFIXES = VIDEO_SUFFIXES | {
    f".{suffix}"
    for suffix in [
        "divx",
        "gif",
        "ivf",
        "m1v",
        "m2v",
        "mjpeg",
        "mk3d",
        "mp4v",
        "mpe",
        "obu",
        "ogg",
        "qt",
        "xvid",
        "y4m",
    ]
}
_HANG_SECONDS = 120.0
_CHUNK_FRAMES = 32
_SINGLE_FRAMES = 8
_COLOUR_LEVELS = 3.0  # by which the mean of a picture's channels may be off
# Luma weights of red and blue, by FFmpeg's number of the colour space; what is not given is taken for BT.601.
_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_BT601 = (0.299, 0.114)
_MATRIX_SPACES = {1, 2, 4, 5, 6, 7, 9}  # that three weights describe
_YCGCO = 8


@dataclass(frozen=True)
class Seen:
    """What one decoder made of a file.

    Attributes:
        frames: digest of every picture in display order, None where it is refused; of FFmpeg's, too, where it decodes a
            picture and cannot convert it.
        colours: of some frames by index, the mean of red, green and blue.
        single: digests of single frames read in random order, by index.
        problems: of the whole file or of frames, as the decoder says them.
    """

    frames: tuple[str | None, ...] = ()
    colours: dict[int, tuple[float, ...]] | None = None
    single: dict[int, str | None] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A file's row in the table."""

    path: Path
    outcome: str
    why: str = ""

    @property
    def failed(self) -> bool:
        return self.outcome in (REFUSED, DIFFERS)


def by_ffmpeg(path: Path, *, explode: bool = False) -> Seen:
    """Decode from first to last.

    Args:
        explode: have the decoder name all damage that it notices, instead of showing what it makes of it.
    """
    note(0)
    frames: list[str | None] = []
    colours, problems = {}, []
    try:
        with av.open(f"file:{os.fspath(path)}", metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if not s.disposition & type(s.disposition).attached_pic]
            best = container.streams.best("video")
            stream: Any = best if best in streams else streams[0] if streams else None
            if stream is None or stream.codec_context is None:
                return Seen(problems=("no video stream that can be decoded",))
            stream.thread_type = "NONE"
            if explode:
                stream.codec_context.options = {"err_detect": "explode"}
            for packet in container.demux(stream):
                note(len(frames))
                if packet.is_corrupt:
                    problems.append("a packet is cut")
                try:
                    pictures = stream.codec_context.decode(packet if packet.size else None)
                except av.error.FFmpegError as error:
                    problems.append(error.strerror or str(error))
                    continue
                for picture in pictures:
                    if picture.is_corrupt:
                        problems.append("a frame is corrupt")
                    if len(frames) % _CHUNK_FRAMES == 0 and (mean := _mean_colour(picture)) is not None:
                        colours[len(frames)] = mean
                    try:
                        frames.append(_digest(plain_picture(picture, stream.sample_aspect_ratio)))
                    except av.error.FFmpegError:
                        frames.append(None)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        problems.append(str(error))
    return Seen(tuple(frames), colours, None, tuple(problems))


def noticed_by_ffmpeg(path: Path) -> Seen:
    """Decode with all damage named."""
    return by_ffmpeg(path, explode=True)


def by_reader(path: Path) -> Seen:
    """Read from first to last, then single frames in random order."""
    note(0)
    frames: list[str | None] = []
    colours, problems = {}, []
    try:
        with open_video(path) as video:
            for start in range(0, len(video), _CHUNK_FRAMES):
                note(start)
                chunk = range(start, min(start + _CHUNK_FRAMES, len(video)))
                try:
                    pictures: Sequence[Any] = list(video.frames_at(chunk))
                except DecodeError:
                    pictures = [_frame_or_problem(video, index) for index in chunk]
                problems += [picture for picture in pictures if isinstance(picture, str)]
                frames += [None if isinstance(picture, str) else _digest(picture) for picture in pictures]
                if not isinstance(pictures[0], str):
                    colours[start] = tuple(pictures[0].reshape(-1, 3).mean(axis=0).tolist())
            order = np.random.default_rng(0).permutation(len(video))[:_SINGLE_FRAMES].tolist()
            single = {}
            for index in order:
                note(index)
                picture = _frame_or_problem(video, index)
                single[index] = None if isinstance(picture, str) else _digest(picture)
    except DecodeError as error:
        return Seen(problems=(error.why,))
    return Seen(tuple(frames), colours, single, tuple(problems))


def _frame_or_problem(video: Any, index: int) -> npt.NDArray[np.uint8] | str:
    try:
        return cast("npt.NDArray[np.uint8]", video.frames_at([index])[0])
    except DecodeError as error:
        return error.why


def _digest(picture: npt.NDArray[np.uint8]) -> str:
    return hashlib.sha1(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()


def _mean_colour(frame: Any) -> tuple[float, ...] | None:
    """Mean red, green and blue by formula, or None where the picture is not made of 8-bit luma and colour planes."""
    if not frame.format.name.startswith(("yuv4", "yuvj4")) or len(frame.planes) != 3:
        return None
    if frame.format.components[0].bits != 8 or int(frame.colorspace) not in {*_MATRIX_SPACES, _YCGCO}:
        return None
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == 2
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        planes.append(rows.repeat(-(-frame.height // plane.height), 0)[: frame.height])
        planes[-1] = planes[-1].repeat(-(-frame.width // plane.width), 1)[:, : frame.width].astype(np.float64)
    luma = planes[0] if full else (planes[0] - 16) * 255 / 219
    blue, red = ((plane - 128) * (1 if full else 255 / 224) for plane in planes[1:])
    if int(frame.colorspace) == _YCGCO:
        r, g, b = luma - blue + red, luma + blue, luma - blue - red
        return tuple(float(channel.clip(0, 255).mean()) for channel in (r, g, b))
    weight_red, weight_blue = _WEIGHTS.get(int(frame.colorspace), _BT601)
    r = luma + 2 * (1 - weight_red) * red
    b = luma + 2 * (1 - weight_blue) * blue
    g = (luma - weight_red * r - weight_blue * b) / (1 - weight_red - weight_blue)
    return tuple(float(channel.clip(0, 255).mean()) for channel in (r, g, b))


def judged(path: Path, truth: Seen, ours: Seen, noticed: Callable[[], Seen]) -> Verdict:
    """The verdict on a file.

    Args:
        truth: by FFmpeg.
        ours: by the reader.
        noticed: gives what FFmpeg finds damaged; asked only where the reader refuses something.
    """
    if not truth.frames:
        if not ours.frames:
            return Verdict(path, NO_VIDEO, (truth.problems or ("no frame",))[0])
        return Verdict(path, DIFFERS, f"{len(ours.frames)} frames where FFmpeg decodes none")
    is_damaged = bool(truth.problems)
    if not is_damaged and (not ours.frames or None in ours.frames):
        is_damaged = bool(noticed().problems)
    if not ours.frames:
        outcome = DAMAGED if is_damaged else REFUSED
        return Verdict(path, outcome, f"all of {len(truth.frames)} frames: {ours.problems[0]}")
    wrong = _difference(truth, ours, is_damaged=is_damaged)
    if wrong is not None:
        return Verdict(path, DIFFERS, wrong)
    refused = sum(frame is None for frame in ours.frames)
    if refused:
        outcome = DAMAGED if is_damaged else REFUSED
        return Verdict(path, outcome, f"{refused} of {len(truth.frames)} frames: {ours.problems[0]}")
    return Verdict(path, DAMAGED, f"read; FFmpeg says: {truth.problems[0]}") if is_damaged else Verdict(path, RIGHT)


def _difference(truth: Seen, ours: Seen, *, is_damaged: bool) -> str | None:
    if len(truth.frames) != len(ours.frames) and not is_damaged:
        return f"{len(ours.frames)} frames where FFmpeg decodes {len(truth.frames)}"
    if is_damaged:  # which frames are left may differ, and so may what stands in for those that are broken
        return _single_difference(ours)
    wrong = [i for i, (a, b) in enumerate(zip(truth.frames, ours.frames, strict=True)) if a and b and a != b]
    if wrong:
        elsewhere = all(ours.frames[i] in truth.frames for i in wrong)
        return f"{'order' if elsewhere else 'pictures'}: {len(wrong)} of {len(truth.frames)} frames, from {wrong[0]} on"
    for index, mean in (truth.colours or {}).items():
        off = np.abs(np.subtract(mean, (ours.colours or {}).get(index, mean))).max()
        if off > _COLOUR_LEVELS:
            return f"colours of frame {index} are off by {off:.1f} levels"
    return _single_difference(ours)


def _single_difference(ours: Seen) -> str | None:
    for index, digest in (ours.single or {}).items():
        if digest != ours.frames[index]:
            return f"frame {index} alone is another one than in the whole"
    return None


def videos_under(folder: Path) -> list[Path]:
    """All regular files whose names end like a video's, in the order of their names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file() and not p.is_symlink())


def compare(paths: Sequence[Path]) -> Iterator[Verdict]:
    """Verdicts in order."""
    for path, truth, ours in zip(paths, _each(by_ffmpeg, paths), _each(by_reader, paths), strict=True):
        verdict = judged(path, truth, ours, lambda path=path: next(_each(noticed_by_ffmpeg, [path])))  # type: ignore[misc]
        crash = next((problem for problem in ours.problems if problem.startswith("the decoder ")), None)
        yield replace(verdict, outcome=REFUSED, why=crash) if crash and truth.frames else verdict


def _each(decode: Callable[[Path], Seen], paths: Sequence[Path]) -> Iterator[Seen]:
    def after_death(_: Path, death: Death) -> Replace[Seen]:
        return Replace(Seen(problems=(death.reason,)))

    return ordered_map(decode, paths, workers=1, after_death=after_death, hang_seconds=_HANG_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    counts: Counter[str] = Counter()
    for verdict in compare(videos_under(folder)):
        counts[verdict.outcome] += 1
        if verdict.outcome != RIGHT:
            print(f"{verdict.outcome:16} {verdict.path.relative_to(folder)}: {verdict.why}", flush=True)
    print("-" * 40)
    for outcome in (RIGHT, DAMAGED, NO_VIDEO, REFUSED, DIFFERS):
        print(f"{outcome:16} {counts[outcome]:6}")
    return 1 if counts[REFUSED] or counts[DIFFERS] else 0


if __name__ == "__main__":
    from helpers.corpus import main as run  # by its module's name: workers know nothing of __main__

    sys.exit(run())
