"""Videos by folder, by list, or as named one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rspnet.core import storage
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import is_list, real_paths
from rspnet.core.packs import packed, unpacked
from rspnet.core.urls import UrlPath, as_path, below
from rspnet.data.class_numbers import class_numbers
from rspnet.data.list_rows import FORMS, Row, no_list, read_rows
from rspnet.video.reader import VIDEO_SUFFIXES


@dataclass(frozen=True, slots=True)
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


def find_videos(root: str | None, list_file: str | None) -> list[VideoRecord]:
    """The videos of a list (paths relative to `root`), or of the folder `root`.

    Raises:
        RSPNetError: neither is named, or see `read_list` and `read_folder`.
    """
    if list_file is not None:
        return read_list(list_file, root)
    if root is None:
        raise RSPNetError("no videos are named: neither a folder nor a list")
    return read_folder(root)


def read_folder(root: str | os.PathLike[str]) -> list[VideoRecord]:
    """All video files below a folder or URL, or packed into a folder of shards, in the order of their names.

    A video is a file whose ending is in `VIDEO_SUFFIXES` (any case). Hidden files and folders (and so the `._` files
    that macOS leaves) are not looked at. Links are followed; every real folder is visited once, so loops end, and a
    file is taken once, under its own name where links to it lie in the same folder.

    Raises:
        RSPNetError: the folder is missing, is not a folder, cannot be read, or holds no video.
    """
    folder = as_path(root)
    if isinstance(shards := unpacked(folder), UrlPath) and shards is not folder:
        return [VideoRecord(UrlPath(url), name, label, cls) for name, url, label, cls in packed(folder)]
    if isinstance(folder, UrlPath):
        return _read_url_folder(folder)
    _require_folder(folder)
    # Texts, for a million files. A Path that cannot be looked at raises where `islink` is False: the folder may be
    # listed and not entered.
    found = sorted(_video_files(folder), key=lambda name: (os.path.islink(f"{folder}/{name}"), name), reverse=True)  # noqa: PTH114
    names = sorted(dict(zip(real_paths(f"{folder}/{name}" for name in found), found, strict=True)).values())
    if not names:
        raise RSPNetError(f"folder {str(folder)!r} holds no video ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return [VideoRecord(folder / name, name) for name in names]


def require_source(path: str | os.PathLike[str]) -> None:
    """Raise the `RSPNetError` of a folder or list that is not there; what else is wrong with it `read_source` says."""
    place = as_path(path)
    if is_list(place) and not place.is_dir():
        if not place.exists():
            raise no_list(place)
    elif not isinstance(unpacked(place), UrlPath):
        _require_folder(place)


def require_videos(paths: Sequence[str]) -> None:
    """Raise `RSPNetError` for the first of some files, folders and lists of videos that is not there."""
    for path in paths:
        if not as_path(path).exists():
            raise RSPNetError(f"{path!r} does not exist: name a video, or a folder or list of videos")


def read_source(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> list[VideoRecord]:
    """The videos of a folder or of a list (`root`: see `read_list`).

    Raises:
        RSPNetError: see `read_folder` and `read_list`.
    """
    return read_list(path, root) if is_list(path) and not as_path(path).is_dir() else read_folder(path)


def read_videos(paths: Sequence[str | os.PathLike[str]]) -> list[VideoRecord]:
    """The videos of some files, folders and lists in the order given, each once, however often and whatever way named.

    A file is named as given, the videos of a folder or list by their path in it; of several folders by the folder as
    given, too, so that two videos of one run never share a name.

    Raises:
        RSPNetError: a folder or list that cannot be read or holds no video (see `read_folder`, `read_list`); files are
            not looked at.
    """
    given = [as_path(path) for path in paths]
    records: list[VideoRecord] = []
    for path in given:
        if not is_list(path) and not path.is_dir():
            records.append(VideoRecord(path, str(path)))
        elif len(given) == 1:
            records += read_source(path)
        else:
            above = path.parent if is_list(path) else path
            records += [replace(record, name=(above / record.name).as_posix()) for record in read_source(path)]
    places = {real: place for place, real in reversed(list(enumerate(real_paths(record.path for record in records))))}
    return [records[place] for place in sorted(places.values())]


def read_list(file: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> list[VideoRecord]:
    """The videos a file lists, in its order: see `FORMS` for what it may look like.

    In lines without a header names with spaces are fine: a path is the longest beginning that ends like a video. Paths
    are relative to `root`, else to the list's own folder. Labels are names (a number is one, too), and are numbered in
    their order. Empty lines are skipped.

    Raises:
        RSPNetError: the list cannot be read or is empty, a line is malformed or names a video again (its number is
            named), two classes have nearly the same name, or none of the listed files exists.
    """
    source = as_path(file)
    folder = unpacked(source.parent if root is None else as_path(root))
    return list_records(source, folder, read_rows(source))


def list_records(source: Path, folder: Path, rows: Sequence[Row]) -> list[VideoRecord]:
    """The videos of rows of the list `source`, below `folder`; raises as `read_list`."""
    line_of: dict[str, Row] = {}
    for row, real in zip(rows, real_paths(below(folder, row.path) for row in rows), strict=True):
        first = line_of.setdefault(real, row)
        if first is not row:
            as_what = "" if first.path == row.path else f" as {first.path!r}"
            raise RSPNetError(
                f"{str(source)!r} line {row.line}: {row.path!r} is already listed in line {first.line}{as_what}"
            )
    records = _labelled(source, folder, rows)
    if not any(record.path.exists() for record in records):
        raise RSPNetError(
            f"none of {counted(len(records), 'video')} listed in {str(source)!r} exists below {str(folder)!r}: "
            f"the first is {rows[0].path!r} (line {rows[0].line}); expected {FORMS}"
        )
    return records


def _labelled(source: Path, folder: Path, rows: Sequence[Row]) -> list[VideoRecord]:
    for row in rows:
        if bool(row.label) != bool(rows[0].label):
            raise RSPNetError(
                f"{str(source)!r} line {row.line}: either every video has a label or none, and the first "
                f"({rows[0].path!r}, line {rows[0].line}) has {'one' if rows[0].label else 'none'}; expected {FORMS}"
            )
    if not rows[0].label:
        return [VideoRecord(below(folder, row.path), row.path) for row in rows]
    numbers = class_numbers((row.label for row in rows), source=repr(str(source)))
    return [VideoRecord(below(folder, row.path), row.path, numbers[row.label], row.label) for row in rows]


def _read_url_folder(folder: UrlPath) -> list[VideoRecord]:
    """`read_folder` of an object store or web server."""
    try:
        names = [
            name for name in storage.names_below(folder.url) if not any(p.startswith(".") for p in name.split("/"))
        ]
        found = [VideoRecord(path, name) for name in names if _is_video((path := folder / name).name)]
        if not found and not folder.is_dir():
            is_file = folder.is_file()
            hint = "is not a folder of videos" if is_file else "does not exist: name a folder of videos"
            raise RSPNetError(f"{str(folder)!r} {hint}")
    except FileNotFoundError:  # no such bucket
        raise RSPNetError(f"{str(folder)!r} does not exist: name a folder of videos") from None
    except OSError as error:
        raise RSPNetError(f"cannot read folder {str(folder)!r}: {error.strerror}") from error
    if not found:
        raise RSPNetError(f"folder {str(folder)!r} holds no video ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return found


def _require_folder(folder: Path) -> None:
    try:
        folder.stat()
    except PermissionError as error:
        raise RSPNetError(f"cannot read folder {str(folder)!r}: {error.strerror}") from error
    except (OSError, ValueError):
        raise RSPNetError(f"{str(folder)!r} does not exist: name a folder of videos") from None
    if not folder.is_dir():
        raise RSPNetError(f"{str(folder)!r} is not a folder of videos")


def _is_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def _video_files(root: Path) -> Iterator[str]:
    """Their paths relative to `root`."""
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
        own = os.path.relpath(folder, root)
        for name in files:
            if not name.startswith(".") and _is_video(name):
                yield name if own == "." else f"{own}/{name}"
