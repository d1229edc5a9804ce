"""One's own videos: a folder of class folders, or a CSV; split by the seed where they do not say how themselves."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from rspnet.core.errors import RSPNetError
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import read_list
from rspnet.data.labelled.layout import Entry, Request, class_folders, read_lines, videos_in

_SPLITS = {"train": "train", "training": "train", "test": "test", "val": "test", "validation": "test"}


def folder_entries(request: Request) -> Iterator[Entry]:
    """Videos of `root/CLASS/`; or of `root/train/CLASS/` and `root/test/CLASS/` (or val) where there are such folders.

    Raises:
        RSPNetError: no class folder, an empty one, or a class that cannot be split.
    """
    parts = {_SPLITS[path.name]: path for path in class_folders(request.root) if path.name in _SPLITS}
    if parts:
        for split in ("train", "test"):
            if split not in parts:
                raise RSPNetError(f"{str(request.root)!r} has no folder {split!r} beside the other part of the split")
        names = sorted(path.name for path in class_folders(parts["train"]))
        for folder in class_folders(parts[request.split]):
            if folder.name not in names:
                raise RSPNetError(
                    f"class {folder.name!r} of {str(folder.parent)!r} has no folder in {str(parts['train'])!r}"
                )
            for video in videos_in(folder):
                yield Entry(video, names.index(folder.name), folder.name)
        return
    everything = [
        Entry(video, label, folder.name)
        for label, folder in enumerate(class_folders(request.root))
        for video in videos_in(folder)
    ]
    yield from seeded_split(everything, request)


def csv_entries(request: Request) -> Iterator[Entry]:
    """Videos of a CSV with the columns `path`, `label` and perhaps `split` (train, test, val).

    Raises:
        RSPNetError: no list, a malformed one (see `read_list`), no labels, or an unknown split.
    """
    if request.list is None:
        raise RSPNetError("--data.list is required with --data.kind csv: a CSV with the columns path, label and split")
    records = read_list(request.list, request.root)
    if records[0].label is None:
        raise RSPNetError(f"{str(request.list)!r} has no labels: expected the columns path and label")
    everything = []
    for record in records:
        assert record.label is not None
        everything.append(Entry(record.path, record.label, record.class_name or str(record.label)))
    splits = _split_column(request.list)
    if splits is None:
        yield from seeded_split(everything, request)
        return
    for entry, split in zip(everything, splits, strict=True):
        if split == request.split:
            yield entry


def seeded_split(entries: Sequence[Entry], request: Request) -> Iterator[Entry]:
    """The wanted part of a split made class by class: `test_share` of each class (at least one video) is for testing.

    A function of the split seed, the fold and the class's own file names alone; entries keep their order.

    Raises:
        RSPNetError: a class has a single video.
    """
    by_class: dict[str, list[Entry]] = {}
    for entry in entries:
        by_class.setdefault(entry.class_name, []).append(entry)
    chosen: set[Path] = set()
    for name, members in by_class.items():
        if len(members) < 2:
            raise RSPNetError(f"class {name!r} has 1 video: a split needs at least 2, one to train and one to test")
        members = sorted(members, key=lambda entry: entry.path)
        order = numpy_rng(request.split_seed, "split", request.fold, name).permutation(len(members))
        num_test = min(len(members) - 1, max(1, round(request.test_share * len(members))))
        test = {members[place].path for place in order[:num_test]}
        chosen |= {entry.path for entry in members if (entry.path in test) == (request.split == "test")}
    return (entry for entry in entries if entry.path in chosen)


def _split_column(file: Path) -> list[str] | None:
    """The column `split` of a CSV, one of "train" and "test" a row; None where there is no such column."""
    reader = csv.reader(read_lines(file, holds="the columns path, label and split"))
    header = [name.strip().lower() for name in next(reader)]
    if "split" not in header:
        return None
    place = header.index("split")
    found = []
    for row in reader:
        if not any(field.strip() for field in row):
            continue
        word = row[place].strip().lower()
        if word not in _SPLITS:
            raise RSPNetError(f"{str(file)!r} row {reader.line_num}: split {word!r} is none of {', '.join(_SPLITS)}")
        found.append(_SPLITS[word])
    return found
