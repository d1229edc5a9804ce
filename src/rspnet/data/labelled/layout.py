"""What the layouts share: finding folders and videos, and errors that say what was expected where."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.files import is_list
from rspnet.data.annotations import VideoRecord
from rspnet.video.reader import VIDEO_SUFFIXES

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Request:
    """Which part of which data set is wanted; see `read_labelled` for the fields."""

    root: Path
    split: Split
    fold: int
    list: Path | None
    test_share: float


@dataclass(frozen=True)
class Entry:
    """A video as an annotation names it; the file itself may have another ending, or be missing.

    Attributes:
        path: where it is expected.
        label: class number, from 0.
        class_name: class name.
    """

    path: Path
    label: int
    class_name: str


def read_lines(file: Path, *, holds: str) -> list[str]:
    """The non-empty lines of a UTF-8 annotation file; `holds` says what it should contain.

    Raises:
        RSPNetError: missing, unreadable or empty.
    """
    lines = [line.strip() for line in _text(file, holds).splitlines() if line.strip()]
    if not lines:
        raise RSPNetError(f"annotation file {str(file)!r} is empty: expected {holds}")
    return lines


def read_json(file: Path, *, holds: str) -> Any:
    """The content of a JSON annotation file.

    Raises:
        RSPNetError: missing, unreadable or no JSON.
    """
    try:
        return json.loads(_text(file, holds))
    except json.JSONDecodeError as error:
        raise RSPNetError(f"annotation file {str(file)!r} is no JSON ({error}): expected {holds}") from error


def json_rows(file: Path, keys: Sequence[str], *, holds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(how errors name it, row) of a JSON list of objects that have these keys.

    Raises:
        RSPNetError: missing, unreadable, no JSON, or of another form.
    """
    rows, form = read_json(file, holds=holds), f"{{{', '.join(keys)}}}"
    if not isinstance(rows, list):
        raise RSPNetError(f"{str(file)!r} is not a list of {form}")
    for place, row in enumerate(rows):
        name = f"{str(file)!r} entry {place}"
        if not isinstance(row, dict) or any(key not in row for key in keys):
            raise RSPNetError(f"{name}: expected {form}")
        yield name, row


def _text(file: Path, holds: str) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RSPNetError(f"annotation file {str(file)!r} is missing: expected {holds}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RSPNetError(f"cannot read annotation file {str(file)!r}: {reason_of(error)}; expected {holds}") from error


def require_root(root: Path) -> None:
    """Raise an RSPNetError unless the data set's folder exists."""
    if not root.is_dir():
        raise RSPNetError(f"{str(root)!r} is not a folder: name the folder that holds the data set")


def first_file(root: Path, names: Sequence[str], *, holds: str) -> Path:
    """The first of `names` (relative to `root`) that is a file.

    Raises:
        RSPNetError: none is; all places that were looked at are named.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    tables = [path for path in sorted(root.iterdir()) if is_list(path)]
    cure = f"; a table of videos and labels is named itself, such as {str(tables[0])!r}" if tables else ""
    if any(path.is_dir() for path in root.iterdir()):
        cure += "; for one folder of videos a class say --data.kind folders"
    raise RSPNetError(f"no {names[0]!r} in {str(root)!r}: expected {holds} (looked for {', '.join(names)}){cure}")


def first_folder(root: Path, names: Sequence[str], *, holds: str) -> Path:
    """The first of `names` (relative to `root`) that is a folder, or an RSPNetError that names them all."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise RSPNetError(f"no folder {names[0]!r} in {str(root)!r}: expected {holds} (looked for {', '.join(names)})")


def class_folders(folder: Path) -> list[Path]:
    """The folders directly in `folder`, by name; hidden ones are not looked at.

    Raises:
        RSPNetError: there is none.
    """
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise RSPNetError(f"{str(folder)!r} holds no class folder: expected one folder of videos a class")
    return found


def videos_in(folder: Path) -> list[Path]:
    """The video files directly in a class folder, by name.

    Raises:
        RSPNetError: there is none.
    """
    found = sorted(_videos(folder))
    if not found:
        raise RSPNetError(f"class folder {str(folder)!r} holds no video ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return found


def has_videos(folder: Path) -> bool:
    """Whether a folder holds a video file directly."""
    return next(_videos(folder), None) is not None


def _videos(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            yield path


def to_records(
    root: Path, entries: Iterable[Entry], *, allow_missing: bool, split: Split, source: str
) -> list[VideoRecord]:
    """Records of the entries whose files exist, in order; a file with another video ending counts.

    `source` is what errors call the data set.

    Raises:
        RSPNetError: no entry (`val` may have none), or files are missing and `allow_missing` is false or none is left.
    """
    records, missing, total = [], [], 0
    for entry in entries:
        total += 1
        path = _existing(entry.path)
        if path is None:
            missing.append(entry)
        else:
            name = path.relative_to(root) if path.is_relative_to(root) else path
            records.append(VideoRecord(path, name.as_posix(), entry.label, entry.class_name))
    if not total and split != "val":
        raise RSPNetError(f"{source}: the annotations name no {split} video")
    if missing and not (allow_missing and records):
        first = missing[0]
        cure = "; --data.allow_missing=true leaves them out" if records else ""
        raise RSPNetError(
            f"{source}: {len(missing)} of {counted(total, f'{split} video')} missing, the first "
            f"of class {first.class_name!r}, expected at {str(first.path)!r} (or with another video ending){cure}"
        )
    return records


def _is_there(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.ELOOP):
            raise
        return True


def _existing(path: Path) -> Path | None:
    """`path`, or the same name with another video ending. What is there and no file is for the reader to name."""
    if _is_there(path):
        return path
    bare = path.with_suffix("") if path.suffix.lower() in VIDEO_SUFFIXES else path
    for suffix in sorted(VIDEO_SUFFIXES):
        other = bare.with_name(bare.name + suffix)
        if other.is_file():
            return other
    return None
