"""Drawn sets on disk: real video files of two containers, and a table of all that was drawn."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.files import csv_text, write_text
from rspnet.video.writer import write_video

LABEL_FILE = "clips.csv"


class DrawnClip(Protocol):
    """What a set needs to know of a clip; a dataclass of strings and numbers.

    Attributes:
        name: unique in its set.
        split: "train" or "test".
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def split(self) -> str: ...  # noqa: D102


Clip = TypeVar("Clip", bound=DrawnClip)


@dataclass(frozen=True)
class Record(Generic[Clip]):
    """One line of a written set: the video file and the clip it shows."""

    path: Path
    clip: Clip


def write_labelled(
    root: Path, clips: Sequence[Clip], render: Callable[[Clip], NDArray[np.uint8]], *, fps: float, workers: int = 2
) -> Path:
    """Render and encode all clips under `root`, H.264 in MP4 and MPEG-4 (XVID, B-frames) in AVI by turns.

    Files are `root/<split>/<name>.<mp4|avi>`, so each split is also a plain folder of videos. The labels are written
    last: a set with `clips.csv` is complete. Workers are threads: rendering and encoding release the interpreter lock.

    Returns:
        The path of `clips.csv`.

    Raises:
        RSPNetError: a file cannot be written, or two clips have one name.
    """
    root = Path(root)
    if len({clip.name for clip in clips}) != len(clips):
        raise RSPNetError(f"cannot write {str(root)!r}: two clips have the same name; names must be unique")
    paths = [f"{clip.split}/{clip.name}{'.avi' if i % 2 else '.mp4'}" for i, clip in enumerate(clips)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for _ in pool.map(
            lambda job: write_video(root / job[0], render(job[1]), fps=fps), zip(paths, clips, strict=True)
        ):
            pass
    rows = [{"path": path} | asdict(clip) for path, clip in zip(paths, clips, strict=True)]  # type: ignore[call-overload]
    write_text(root / LABEL_FILE, csv_text([rows[0], *(row.values() for row in rows)]))
    return root / LABEL_FILE


def read_drawn(root: Path, kind: type[Clip]) -> list[Record[Clip]]:
    """Read `root/clips.csv` back, in its order; `kind` is the dataclass of the clips.

    Raises:
        RSPNetError: the file is missing, lacks a column or has a value of the wrong type.
    """
    label_file = Path(root) / LABEL_FILE
    try:
        text = label_file.read_text(encoding="utf-8")
    except OSError as error:
        raise RSPNetError(f"cannot read {str(label_file)!r}: {error.strerror}; is it the folder of a set?") from error
    parsers: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
    kinds = {field.name: parsers[str(field.type)] for field in fields(kind)}  # type: ignore[arg-type]
    records = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        try:
            clip = kind(**{name: parse(row[name]) for name, parse in kinds.items()})
            records.append(Record(label_file.parent / row["path"], clip))
        except (KeyError, ValueError, TypeError) as error:
            raise RSPNetError(f"{str(label_file)!r} line {number}: bad or missing value ({error})") from error
    return records
