"""One's own videos: a folder of class folders, or a CSV; split by the seed where they do not say how themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from rspnet.core.errors import RSPNetError
from rspnet.core.files import real_paths
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import list_records
from rspnet.data.class_numbers import class_numbers
from rspnet.data.labelled.layout import Entry, Request, Split, class_folders, has_videos, videos_in
from rspnet.data.list_rows import Row, read_rows

_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SEEDED = "by seed"
"""How a result calls the tested part where the split is made here."""


def folder_entries(request: Request) -> Iterator[Entry]:
    """Videos of `root/CLASS/`; or of `root/train/CLASS/`, and so in `root/val` and `root/test`, where there are such.

    Classes are numbered by `class_numbers`.

    Raises:
        RSPNetError: no class folder, an empty one, a class that cannot be split or that training lacks, a folder beside
            the split's that is none of them, or two names of one file.
    """
    root = request.root
    parts = _split_folders(root)
    if not parts:
        folders = class_folders(root)
        numbers = class_numbers((path.name for path in folders), source=repr(str(root)))
        everything = [Entry(video, numbers[path.name], path.name) for path in folders for video in videos_in(path)]
        _refuse_same_files(root, everything)
        yield from seeded_split(everything, request)
        return
    classes = {split: class_folders(folder) for split, folder in parts.items()}
    class_numbers((path.name for folders in classes.values() for path in folders), source=repr(str(root)))
    numbers = class_numbers((path.name for path in classes["train"]), source=repr(str(root)))
    entries: dict[Split, list[Entry]] = {}
    for split, folders in classes.items():
        for folder in folders:
            if folder.name not in numbers:
                raise RSPNetError(
                    f"class {folder.name!r} of {str(folder.parent)!r} has no folder in {str(parts['train'])!r}"
                )
            found = [Entry(video, numbers[folder.name], folder.name) for video in videos_in(folder)]
            entries.setdefault(split, []).extend(found)
    _refuse_same_files(root, [entry for part in entries.values() for entry in part])
    wanted = _part_for(request.split, parts)
    yield from () if wanted is None else entries.get(wanted, ())  # there may be no validation part


def csv_entries(request: Request) -> Iterator[Entry]:
    """Videos of a list with the columns `path`, `label` and perhaps `split` (train, val, test).

    Raises:
        RSPNetError: no list, a malformed one (see `read_list`), no labels, or an unknown split.
    """
    rows = _rows(request.list)
    assert request.list is not None
    records = list_records(request.list, request.root, rows)
    if records[0].label is None:
        raise RSPNetError(f"{str(request.list)!r} has no labels: expected the columns path and label")
    everything = []
    for record in records:
        assert record.label is not None
        everything.append(Entry(record.path, record.label, record.class_name or str(record.label)))
    splits = _splits_of(request.list, rows)
    if splits is None:
        yield from seeded_split(everything, request)
        return
    wanted = _part_for(request.split, splits)
    yield from (entry for entry, split in zip(everything, splits, strict=True) if split == wanted)


def own_scored_split(root: Path, list_file: Path | None) -> str:
    """Which part of one's own videos is tested on: "test", "val" where there is no other, or `SEEDED`.

    Args:
        root: of the class folders.
        list_file: the list, of kind `csv`.

    Raises:
        RSPNetError: as the entries.
    """
    if list_file is None:
        there: Sequence[Split] | None = list(_split_folders(root)) or None
    else:
        there = _splits_of(list_file, _rows(list_file))
    return SEEDED if there is None else _part_for("test", there) or SEEDED


def list_sha256(list_file: Path) -> str:
    """A hash of what a list says, wherever it lies: its videos with their classes and parts, in any order.

    Raises:
        RSPNetError: it cannot be read.
    """
    rows = sorted((row.path, row.label, row.split or "") for row in _rows(list_file))
    return sha256(repr(rows).encode()).hexdigest()


def seeded_split(entries: Sequence[Entry], request: Request) -> Iterator[Entry]:
    """The wanted part of a split made class by class: `test_share` of each class (at least one video) is for testing.

    A function of the fold and the class's own file names alone; entries keep their order. There is no
    validation part.

    Raises:
        RSPNetError: a class has a single video.
    """
    if request.split == "val":
        return iter(())
    by_class: dict[str, list[Entry]] = {}
    for entry in entries:
        by_class.setdefault(entry.class_name, []).append(entry)
    chosen: set[Path] = set()
    for name, members in by_class.items():
        if len(members) < 2:
            raise RSPNetError(f"class {name!r} has 1 video: a split needs at least 2, one to train and one to test")
        members = sorted(members, key=lambda entry: entry.path)
        order = numpy_rng(0, "split", request.fold, name).permutation(len(members))
        num_test = min(len(members) - 1, max(1, round(request.test_share * len(members))))
        test = {members[place].path for place in order[:num_test]}
        chosen |= {entry.path for entry in members if (entry.path in test) == (request.split == "test")}
    return (entry for entry in entries if entry.path in chosen)


def _part_for(split: Split, there: Collection[Split]) -> Split | None:
    """Which of the owner's parts serves as `split`: validation is tested on where there is no test part."""
    if "test" in there:
        return split
    return {"train": "train", "val": None, "test": "val"}[split]


def _split_folders(root: Path) -> Mapping[Split, Path]:
    """The folders of the owner's split, none where `root` holds class folders.

    A folder of such a name that holds videos itself is a class (a train is a thing that can be seen in videos).

    Raises:
        RSPNetError: two folders for one part, no training or no other part, or a further folder with videos.
    """
    folders = class_folders(root)
    parts: dict[Split, Path] = {}
    for path in folders:
        split = _SPLITS.get(path.name.lower())
        if split is None or (has_videos(path) and not _has_classes(path)):
            continue
        if split in parts:
            raise RSPNetError(f"{str(root)!r} holds both {parts[split].name!r} and {path.name!r}: keep one of them")
        parts[split] = path
    if not parts:
        return parts
    for path in folders:
        if path not in parts.values() and (has_videos(path) or _has_classes(path)):
            raise RSPNetError(
                f"{str(root)!r}: folder {path.name!r} holds videos and is no split ({', '.join(_SPLITS)}): rename it, "
                f"or move it away from {', '.join(repr(part.name) for part in parts.values())}"
            )
    if "train" not in parts or len(parts) < 2:
        lacking = "test" if "train" in parts else "train"
        raise RSPNetError(f"{str(root)!r} has no folder {lacking!r} beside the other part of the split")
    return parts


def _has_classes(folder: Path) -> bool:
    return any(has_videos(path) for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _rows(list_file: Path | None) -> list[Row]:
    if list_file is None:
        raise RSPNetError("--data.list is required with --data.kind csv: a CSV with the columns path, label and split")
    return read_rows(list_file)


def _splits_of(source: Path, rows: Sequence[Row]) -> list[Split] | None:
    """The part of every row of a list; None where the list has no column `split`."""
    if rows[0].split is None:
        return None
    found = []
    for row in rows:
        word = (row.split or "").lower()
        if word not in _SPLITS:
            raise RSPNetError(f"{str(source)!r} line {row.line}: split {row.split!r} is none of {', '.join(_SPLITS)}")
        found.append(_SPLITS[word])
    return found


def _refuse_same_files(root: Path, entries: Sequence[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry, real in zip(entries, real_paths(entry.path for entry in entries), strict=True):
        other = first.setdefault(real, entry)
        if other is not entry:
            names = (str(each.path.relative_to(root)) for each in (other, entry))
            raise RSPNetError(f"{str(root)!r}: {' and '.join(map(repr, names))} are one and the same file: keep one")
