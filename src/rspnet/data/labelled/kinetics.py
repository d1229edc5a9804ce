"""Kinetics-400/600/700: folders `train*/CLASS/ID_000000_000010.mp4` and `val*`, or the makers' CSV files.

With `train.csv` and `val.csv` next to the folders the CSV files say what belongs to the set (videos in class folders or
all in one); without them the folders do. What is tested on is the validation split: the test labels are not public.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.data.class_numbers import class_numbers
from rspnet.data.labelled.layout import Entry, Request, class_folders, read_lines, videos_in

_PREFIX = {"train": "train", "test": "val"}
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def entries(request: Request) -> Iterator[Entry]:
    """The videos of `train*` or `val*`; classes are numbered in alphabetical order of the training classes.

    Raises:
        RSPNetError: a missing folder, a CSV without the makers' columns, or a class training does not have.
    """
    folders, lists = _parts(request.root)
    names = _class_names(folders, lists)
    folder, file = folders[request.split], lists[request.split]
    if file is not None and None not in lists.values():
        listed = ((_expected(folder, row), row["label"]) for row in _rows(file))
    else:
        listed = ((video, path.name) for path in class_folders(folder) for video in videos_in(path))
    numbers = {name: number for number, name in enumerate(names)}
    class_numbers(names, source=f"kinetics in {str(request.root)!r}")  # refuses one class by two spellings
    for video, name in listed:
        if name not in numbers:
            raise RSPNetError(
                f"kinetics in {str(request.root)!r}: class {name!r} of {_PREFIX[request.split]} is not among the "
                f"{counted(len(names), 'training class')} (expected {str(folders['train'] / name)!r})"
            )
        yield Entry(video, numbers[name], name)


def classes(request: Request) -> list[str]:
    """The classes of the training videos, in alphabetical order."""
    return _class_names(*_parts(request.root))


def _class_names(folders: Mapping[str, Path], lists: Mapping[str, Path | None]) -> list[str]:
    if lists["train"] is not None and lists["test"] is not None:
        return sorted({row["label"] for row in _rows(lists["train"])})
    return sorted(path.name for path in class_folders(folders["train"]))


def _parts(root: Path) -> tuple[dict[str, Path], dict[str, Path | None]]:
    """The folders of the splits, and their lists."""
    folders = {split: split_folder(root, prefix) for split, prefix in _PREFIX.items()}
    return folders, {split: _list_file(root, folder, _PREFIX[split]) for split, folder in folders.items()}


def split_folder(root: Path, prefix: str) -> Path:
    """The one folder in `root` whose name starts with `prefix` (`train`, `train_256`, ...).

    Raises:
        RSPNetError: there is none, or more than one.
    """
    found = sorted(path for path in root.glob(f"{prefix}*") if path.is_dir())
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise RSPNetError(f"kinetics in {str(root)!r}: expected one folder named {prefix}*, found {names}")
    return found[0]


def _list_file(root: Path, folder: Path, prefix: str) -> Path | None:
    names = (f"{folder.name}.csv", f"{prefix}.csv", f"annotations/{prefix}.csv", "validate.csv")
    candidates = [root / name for name in names if prefix == "val" or name != "validate.csv"]
    return next((path for path in candidates if path.is_file()), None)


def _rows(file: Path) -> Iterator[Mapping[str, str]]:
    lines = read_lines(file, holds=f"a CSV with the columns {', '.join(_COLUMNS)}")
    reader = csv.DictReader(lines)
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise RSPNetError(f"{str(file)!r} has no column {missing[0]!r}: expected {', '.join(_COLUMNS)}")
    for row in reader:
        try:
            yield {**row, "name": f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}"}
        except (TypeError, ValueError) as error:
            raise RSPNetError(
                f"{str(file)!r} line {reader.line_num}: time_start and time_end must be whole seconds"
            ) from error


def _expected(folder: Path, row: Mapping[str, str]) -> Path:
    """Where a listed video is: in its class folder (spaces kept or as underscores), or directly in the folder."""
    for name in (row["label"], row["label"].replace(" ", "_")):
        if (folder / name).is_dir():
            return folder / name / f"{row['name']}.mp4"
    return folder / f"{row['name']}.mp4"


def link_smallest_classes(root: Path, out: Path, *, num_classes: int) -> list[str]:
    """Make the subset of the classes whose training videos take the fewest bytes, as links (paper: Kinetics-100).

    Args:
        root: a Kinetics folder with `train*` and `val*`.
        out: folder that gets `train/CLASS` and `val/CLASS` as symbolic links to the folders of `root`.
        num_classes: classes to keep.

    Returns:
        The classes kept, by name.

    Raises:
        RSPNetError: fewer classes than asked for, a class `val*` does not have, or links already there.
    """
    train, val = split_folder(root, "train"), split_folder(root, "val")
    sizes = {path.name: sum(video.stat().st_size for video in videos_in(path)) for path in class_folders(train)}
    if len(sizes) < num_classes:
        raise RSPNetError(f"{str(train)!r} has {counted(len(sizes), 'class')}, not the {num_classes} asked for")
    kept = sorted(sorted(sizes, key=lambda name: (sizes[name], name))[:num_classes])
    for split, source in (("train", train), ("val", val)):
        for name in kept:
            target = source / name
            if not target.is_dir():
                raise RSPNetError(f"class {name!r} is missing in {str(source)!r}: expected {str(target)!r}")
            link = out / split / name
            if link.is_symlink() or link.exists():
                raise RSPNetError(f"{str(link)!r} already exists: name a new folder")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.resolve(), target_is_directory=True)
    return kept
