"""`read_labelled`: the one door to all labelled data sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, get_args

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.packs import unpacked
from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord, require_source
from rspnet.data.labelled import diving48, hmdb51, kinetics, own, ssv2, ucf101
from rspnet.data.labelled.layout import Entry, Request, Split, require_root, to_records

Kind = Literal["ucf101", "hmdb51", "kinetics", "ssv2", "diving48", "folders", "csv"]

_READERS: dict[str, Callable[[Request], Iterator[Entry]]] = {
    "ucf101": ucf101.entries,
    "hmdb51": hmdb51.entries,
    "kinetics": kinetics.entries,
    "ssv2": ssv2.entries,
    "diving48": diving48.entries,
    "folders": own.folder_entries,
    "csv": own.csv_entries,
}
_CLASSES: dict[str, Callable[[Request], Sequence[str]]] = {
    "ucf101": ucf101.classes,
    "hmdb51": hmdb51.classes,
    "kinetics": kinetics.classes,
    "ssv2": ssv2.classes,
    "diving48": diving48.classes,
}
_FOLDS = {"ucf101": 3, "hmdb51": 3, "kinetics": 1, "ssv2": 1, "diving48": 1}
PUBLISHED_SCORED = {"ucf101": "test", "hmdb51": "test", "kinetics": "val", "ssv2": "val", "diving48": "test"}
"""The part of the published data sets that is scored, as its makers call it."""


def read_labelled(
    kind: Kind,
    root: str | os.PathLike[str],
    *,
    split: Split,
    fold: int = 1,
    list: str | os.PathLike[str] | None = None,  # noqa: A002
    test_share: float = 0.2,
    allow_missing: bool = False,
) -> list[VideoRecord]:
    """The labelled videos of one part of a data set; every record has a label (from 0) and a class name.

    Args:
        kind: layout of the data set.
        root: its folder.
        split: "train"; "test", the part that is scored (validation where there are no test labels); or "val", a part
            that may choose and is never scored: nothing, unless one's own videos come in three parts.
        fold: which of the published folds, from 1; another draw of the seeded split of `folders` and `csv`.
        list: the CSV of kind `csv`; paths in it are relative to `root`.
        test_share: share of every class that the seeded split keeps for testing.
        allow_missing: leave out videos whose files are missing, as long as there are others.

    Raises:
        RSPNetError: names the missing file or class and what was expected.
    """
    if kind not in _READERS:
        raise ConfigError(f"unknown data kind {kind!r}: one of {', '.join(_READERS)}")
    if split not in get_args(Split):
        raise ConfigError(f"unknown split {split!r}: one of {', '.join(get_args(Split))}")
    if not 1 <= fold <= _FOLDS.get(kind, fold):
        raise ConfigError(f"fold {fold}: {kind} has the folds 1 to {_FOLDS.get(kind, '...')}")
    if split == "val" and kind in _FOLDS:
        return []
    folder = unpacked(as_path(root))
    require_root(folder)
    source = None if list is None else as_path(list)
    request = Request(folder, split, fold, source, test_share)
    name = f"{kind} in {str(folder)!r}" if source is None else repr(str(source))
    return to_records(folder, _READERS[kind](request), allow_missing=allow_missing, split=split, source=name)


def require_labelled(
    kind: Kind,
    root: str | os.PathLike[str],
    list: str | os.PathLike[str] | None = None,  # noqa: A002
) -> None:
    """Raise what `read_labelled` raises of a data set that is not there or of another layout; reads little of it."""
    folder = unpacked(as_path(root))
    require_root(folder)
    if list is not None:
        require_source(list)
    elif kind in _FOLDS:
        next(_READERS[kind](Request(folder, "train", 1, None, 0.0)), None)


def scored_split(kind: Kind, root: str | os.PathLike[str], *, list: str | os.PathLike[str] | None = None) -> str:  # noqa: A002
    """What `split="test"` of `read_labelled` is: "test", "val", or "by seed" where the split is made here."""
    if kind in PUBLISHED_SCORED:
        return PUBLISHED_SCORED[kind]
    return own.own_scored_split(unpacked(as_path(root)), None if list is None else as_path(list))


def in_classes(records: Iterable[VideoRecord], names: Sequence[str], *, source: str) -> list[VideoRecord]:
    """The records with the numbers that a classifier gives their classes.

    Args:
        records: of a data set, numbered in any way.
        names: the classifier's classes.
        source: the classifier, for errors.

    Raises:
        RSPNetError: a class that the classifier does not know.
    """
    numbers = {name: number for number, name in enumerate(names)}
    found = []
    for record in records:
        if record.class_name not in numbers:
            raise RSPNetError(
                f"{record.name!r} is of class {record.class_name!r}, which is none of the {len(names)} of {source}"
            )
        found.append(replace(record, label=numbers[record.class_name]))
    return found


def listed_classes(kind: Kind, root: str | os.PathLike[str], *, fold: int = 1) -> Sequence[str]:
    """The classes that a published layout names, by number, whether there are videos of them or not.

    Empty for `folders` and `csv`, whose classes are those of their videos.

    Raises:
        RSPNetError: as `read_labelled`.
    """
    if kind not in _CLASSES:
        return []
    return _CLASSES[kind](Request(unpacked(as_path(root)), "train", fold, None, 0.0))


def class_names(*parts: list[VideoRecord], listed: Sequence[str] = ()) -> list[str]:
    """The class names of all records by label; a label that neither they nor a list names is called `class N`.

    Args:
        parts: the records.
        listed: the classes that the layout names (`listed_classes`).
    """
    names: dict[int, str | None] = dict(enumerate(listed))
    names |= {record.label: record.class_name for part in parts for record in part if record.label is not None}
    return [names.get(label) or f"class {label}" for label in range(max(names, default=-1) + 1)]
