"""Lists of videos: a plain folder, or a CSV or text file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rspnet.core.errors import RSPNetError
from rspnet.video.reader import VIDEO_SUFFIXES


@dataclass(frozen=True)
class VideoRecord:
    """One video of a data set.

    Attributes:
        path: the file.
        name: what it is called in reports: the path relative to the data set's root, with forward slashes.
        label: class number, if known.
        class_name: class name, if known.
    """

    path: Path
    name: str
    label: int | None = None
    class_name: str | None = None


def read_folder(root: str | os.PathLike[str]) -> list[VideoRecord]:
    """All video files below a folder, in the order of their names.

    A video is a file whose ending is in `VIDEO_SUFFIXES` (any case). Hidden files and folders (and so the `._` files
    that macOS leaves) are not looked at. Links are followed; every real folder is visited once, so loops end.

    Raises:
        RSPNetError: the folder is missing, is not a folder, cannot be read, or holds no video.
    """
    folder = Path(root)
    try:
        folder.stat()
    except PermissionError as error:
        raise RSPNetError(f"cannot read folder {str(folder)!r}: {error.strerror}") from error
    except (OSError, ValueError):
        raise RSPNetError(f"data root {str(folder)!r} does not exist") from None
    if not folder.is_dir():
        raise RSPNetError(f"data root {str(folder)!r} is not a folder (lists of videos are given as a .csv or .txt)")
    names = sorted(path.relative_to(folder).as_posix() for path in _video_files(folder))
    if not names:
        raise RSPNetError(f"data root {str(folder)!r} holds no video ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return [VideoRecord(folder / name, name) for name in names]


def read_list(file: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> list[VideoRecord]:
    """The videos a file lists, in its order.

    Either a CSV whose header names a column `path` and perhaps `label`, or text with one `path` or `path label` a line
    (what follows the last space is a label if the rest ends like a video and the whole line does not, so names with
    spaces are fine). Paths are relative to `root`, else to the list's own folder. Labels are whole numbers, or names,
    which are numbered in alphabetical order. Empty lines are skipped.

    Raises:
        RSPNetError: the list cannot be read or is empty, a line is malformed or repeated (its number is named), or
            none of the listed files exists.
    """
    source = Path(file)
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise RSPNetError(f"cannot read video list {str(source)!r}: {why}") from error
    folder = source.parent if root is None else Path(root)
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    is_csv = "path" in [field.strip().lower() for field in first.split(",")]
    rows = list(_csv_rows(source, lines) if is_csv else _text_rows(lines))
    if not rows:
        raise RSPNetError(f"video list {str(source)!r} names no video")
    line_of: dict[str, int] = {}
    for number, name, _ in rows:
        if name in line_of:
            raise RSPNetError(f"{str(source)!r} line {number}: {name!r} is already listed in line {line_of[name]}")
        line_of[name] = number
    records = _labelled(source, folder, rows)
    if not any(record.path.exists() for record in records):
        hint = (
            "; a CSV starts with a header that names the column path" if source.suffix == ".csv" and not is_csv else ""
        )
        listed = f"{len(records)} videos listed in {str(source)!r}"
        raise RSPNetError(f"none of the {listed} exists below {str(folder)!r}{hint}")
    return records


Row = tuple[int, str, str]  # line number, path, label ("" if there is none)


def _csv_rows(source: Path, lines: list[str]) -> Iterator[Row]:
    reader = csv.reader(lines)
    header: list[str] = []
    for fields in reader:
        if not any(field.strip() for field in fields):
            continue
        if not header:
            header = [field.strip().lower() for field in fields]
            continue
        if len(fields) != len(header):
            raise RSPNetError(
                f"{str(source)!r} line {reader.line_num}: {len(fields)} fields, the header has {len(header)} "
                "(put names with commas in double quotes)"
            )
        row = dict(zip(header, fields, strict=True))
        if not row["path"].strip():
            raise RSPNetError(f"{str(source)!r} line {reader.line_num}: the path is empty")
        yield reader.line_num, row["path"].strip(), row.get("label", "").strip()


def _text_rows(lines: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        whole = line.strip()
        if not whole:
            continue
        path, _, label = whole.rpartition(" ")
        if not _is_video(whole) and _is_video(path.rstrip()):
            yield number, path.rstrip(), label
        else:
            yield number, whole, ""


def _labelled(source: Path, folder: Path, rows: list[Row]) -> list[VideoRecord]:
    """Records of parsed rows; labels are all numbers or all names."""
    for number, _, label in rows:
        if bool(label) != bool(rows[0][2]):
            raise RSPNetError(f"{str(source)!r} line {number}: either every video has a label or none")
    if not rows[0][2]:
        return [VideoRecord(folder / name, name) for _, name, _ in rows]
    if all(label.isdecimal() for _, _, label in rows):
        return [VideoRecord(folder / name, name, int(label)) for _, name, label in rows]
    numbers = {label: number for number, label in enumerate(sorted({label for _, _, label in rows}))}
    return [VideoRecord(folder / name, name, numbers[label], label) for _, name, label in rows]


def _is_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def _video_files(root: Path) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        raise RSPNetError(f"cannot read folder {str(error.filename)!r}: {error.strerror}") from error

    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and _is_video(name):
                yield Path(folder) / name
