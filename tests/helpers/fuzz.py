"""Damaged video files for the reader: `python -m helpers.fuzz --cases 20000`, or `make fuzz`.

Every case is a function of its number. A case passes if the reader reads the file or raises a DecodeError that names
it; a crash, a hang of over 10 seconds, another exception, or memory that grows with the cases is a failure.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from helpers.packed import DIVX, write_packed_video
from helpers.videos import REAL_CLIPS, write_barcode_video

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.core.workers import Death, Replace, ordered_map
from rspnet.video.reader import View, open_video

HANG_SECONDS = 10.0
X265 = {"x265-params": "log-level=none:pools=none"}
KINDS = {
    "bframes.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "cinema.mp4": {"options": {"bf": "3"}},
    "open.mkv": {"options": {"x264-params": "open-gop=1:bframes=2"}},
    "hevc.mp4": {"codec": "libx265", "options": X265},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp8.webm": {"codec": "libvpx", "options": {"deadline": "realtime"}},
    "stream.ts": {"options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "pictures.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "turned.mov": {"codec": "mpeg4", "rotation": 90},
    "flash.flv": {"options": {"bf": "0"}},
}
PACKED_KINDS = {
    "packed.avi": {"b_frames": 2},
    "packed-one-b.avi": {"b_frames": 1, "signature": DIVX, "one_byte_at": (1,)},
}
TINY = len(KINDS) + len(PACKED_KINDS)
LARGE_FILES = ("bird.mkv", "tree.avi", "tricky/vfr.mp4", "tricky/edit-list.mp4", "bad/truncated.avi")
LARGE_SHARE = 0.04  # of the cases are real files, which take longer
BOXES = [b"moov", b"trak", b"tkhd", b"mdhd", b"stsd", b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"elst"]
CHUNKS = [b"LIST", b"strh", b"strf", b"movi", b"idx1", b"avih", b"00dc"]
EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000]


@dataclass(frozen=True)
class Outcome:
    """What became of a case: "read", the reader's reason, or "FAILED: ..."; and the worker's memory in MiB after it."""

    case: int
    source: str
    text: str
    resident_mib: float = 0.0

    @property
    def failed(self) -> bool:
        return self.text.startswith("FAILED")


def write_sources(folder: Path) -> list[Path]:
    """Tiny files of many kinds, then the real ones that are there."""
    tiny = [
        write_barcode_video(folder / name, 14, size=(64, 48), gop=6, **options)  # type: ignore[arg-type]
        for name, options in KINDS.items()
    ]
    tiny += [
        write_packed_video(folder / name, 14, size=(64, 48), gop=6, **options)  # type: ignore[arg-type]
        for name, options in PACKED_KINDS.items()
    ]
    return tiny + [REAL_CLIPS / name for name in LARGE_FILES if (REAL_CLIPS / name).exists()]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to three kinds of damage."""
    for _ in range(int(rng.integers(1, 4))):
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        data = damage(data, rng) if len(data) > 64 else data
    return data


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Half of all damage hits the headers at one of the file's ends."""
    kind = int(rng.integers(4))
    reach = min(len(data), 2000)
    if kind == 0:
        return int(rng.integers(reach))
    return len(data) - 1 - int(rng.integers(reach)) if kind == 1 else int(rng.integers(len(data)))


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 20))):
        changed[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    at, length = _place(data, rng), int(rng.integers(1, 400))
    filling = bytes(length) if rng.integers(2) else rng.bytes(length)
    return data[:at] + filling + data[at + length :]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 300)) :]


def swap(data: bytes, rng: np.random.Generator) -> bytes:
    a, b, c = sorted(int(place) for place in rng.integers(0, len(data), 3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    at, length = _place(data, rng), int(rng.integers(1, 2000))
    return data[: at + length] + data[at:]


def lie(data: bytes, rng: np.random.Generator) -> bytes:
    """A box's or chunk's size, or a number of a header, becomes an extreme one."""
    changed = bytearray(data)
    names = [name for name in (*BOXES, *CHUNKS) if name in data]
    value = EXTREMES[int(rng.integers(len(EXTREMES)))]
    if names and rng.integers(2):
        name = names[int(rng.integers(len(names)))]
        at = data.index(name)
        near = at - 4 if name in BOXES else at + 4
        near += 4 * int(rng.integers(0, 12)) * int(rng.integers(2))
    else:
        near = _place(data, rng)
    near = max(0, min(near, len(data) - 4))
    changed[near : near + 4] = value.to_bytes(4, "little" if rng.integers(2) else "big")
    return bytes(changed)


Damage = Callable[[bytes, np.random.Generator], bytes]
DAMAGES: list[Damage] = [flip_bits, flip_bits, overwrite, cut, cut_out, swap, repeat, lie, lie]


class Reading:
    """Runs one case in a worker."""

    def __init__(self, sources: list[Path], folder: Path) -> None:
        self.sources = sources
        self.folder = folder

    def source(self, case: int) -> Path:
        rng = np.random.default_rng([case, 1])
        large = self.sources[TINY:]
        pool = large if large and rng.random() < LARGE_SHARE else self.sources[:TINY]
        return pool[int(rng.integers(len(pool)))]

    def __call__(self, case: int) -> Outcome:
        source = self.source(case)
        path = self.folder / f"case {case} {source.name}"
        path.write_bytes(mutated(source.read_bytes(), np.random.default_rng(case)))
        started = time.perf_counter()
        try:
            text = read(path)
        except Exception as error:
            text = f"FAILED: {type(error).__name__}: {error}"
        if not text.startswith("FAILED") and time.perf_counter() - started > HANG_SECONDS:
            text = "FAILED: too slow"
        if not text.startswith("FAILED"):
            path.unlink()
        return Outcome(case, source.name, text, resident_mib())


def read(path: Path) -> str:
    """Everything a training and an inspection do with a file."""
    try:
        with open_video(path) as video:
            assert video.times.shape == (len(video),)
            assert np.isfinite(video.times).all()
            assert (np.diff(video.times) >= 0).all()
            assert video.fps > 0
            last = len(video) - 1
            video.read_views([View([0, last // 2, last], size=(32, 32)), View(range(min(6, last)), flip=True)])
            return "read"
    except DecodeError as error:
        if repr(str(path)) not in str(error) or "\n" in str(error):
            return f"FAILED: not named in one line: {error}"
        return re.sub(r"\d+", "N", error.why.split("(")[0].strip())
    except RSPNetError as error:
        return f"FAILED: no DecodeError: {error}"


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def fuzz(cases: range, folder: Path, *, workers: int) -> Iterator[Outcome]:
    """Outcomes in order."""
    reading = Reading(write_sources(folder), folder)

    def after_death(case: int, death: Death) -> Replace[Outcome]:
        return Replace(Outcome(case, reading.source(case).name, f"FAILED: {death.reason}"))

    yield from ordered_map(reading, cases, workers=workers, after_death=after_death, hang_seconds=HANG_SECONDS)


def growth_mib(outcomes: list[Outcome]) -> float:
    """How much the workers' memory grew from the first tenth to the last, by the medians of the two."""
    tenth = max(1, len(outcomes) // 10)
    levels = [
        np.median([outcome.resident_mib for outcome in part])
        for part in (outcomes[tenth : 2 * tenth], outcomes[-tenth:])
    ]
    return float(levels[1] - levels[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rspnet-fuzz-") as folder:
        started = time.perf_counter()
        outcomes = []
        for outcome in fuzz(range(options.first, options.first + options.cases), Path(folder), workers=options.workers):
            outcomes.append(outcome)
            if outcome.failed:
                print(f"case {outcome.case} ({outcome.source}): {outcome.text}", flush=True)
    for text, count in Counter(outcome.text for outcome in outcomes if not outcome.failed).most_common():
        print(f"{count:7} {text}")
    failures = sum(outcome.failed for outcome in outcomes)
    seconds = time.perf_counter() - started
    print(f"{len(outcomes)} cases, {failures} failures, {growth_mib(outcomes):+.1f} MiB a worker, {seconds:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    from helpers.fuzz import main as run  # by its module's name: workers know nothing of __main__

    sys.exit(run())
