"""Something-Something V2: `ID.webm` in one folder, JSON files of videos and of classes; template -> class.

What is tested on is the validation split: the test labels are not public.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from rspnet.core.errors import RSPNetError
from rspnet.data.labelled.layout import Entry, Request, first_file, first_folder, json_rows, read_json

_NAMES = {
    "train": [
        "something-something-v2-train.json",
        "annotations/something-something-v2-train.json",
        "labels/train.json",
        "train.json",
    ],
    "test": [
        "something-something-v2-validation.json",
        "annotations/something-something-v2-validation.json",
        "labels/validation.json",
        "validation.json",
    ],
}
_CLASSES = [
    "something-something-v2-labels.json",
    "annotations/something-something-v2-labels.json",
    "labels/labels.json",
    "labels.json",
]


def entries(request: Request) -> Iterator[Entry]:
    """The videos of the training or validation JSON.

    Raises:
        RSPNetError: a missing or malformed file, or a template that is no class.
    """
    root = request.root
    holds = "Something-Something V2's videos, a list of {id, template}"
    source = first_file(root, _NAMES[request.split], holds=holds)
    index = _index(root)
    numbers = _class_numbers(index)
    folder = first_folder(root, ["20bn-something-something-v2", "videos", "."], holds="the videos, ID.webm")
    for entry, row in json_rows(source, ("id", "template"), holds=holds):
        name = str(row["template"]).replace("[", "").replace("]", "")
        if name not in numbers:
            raise RSPNetError(f"{entry}: class {name!r} is not among the {len(numbers)} of {str(index)!r}")
        yield Entry(folder / f"{row['id']}.webm", numbers[name], name)


def classes(request: Request) -> list[str]:
    """The templates, by number."""
    return list(_class_numbers(_index(request.root)))


def _index(root: Path) -> Path:
    return first_file(root, _CLASSES, holds="Something-Something V2's classes, {template: number}")


def _class_numbers(index: Path) -> dict[str, int]:
    """Template -> place of its number among all: those of a part of the data set need not run without gaps."""
    given = read_json(index, holds="{template: number}")
    if not isinstance(given, dict) or not all(str(value).isdecimal() for value in given.values()):
        raise RSPNetError(f"{str(index)!r} is not of the form {{template: number}}")
    ordered = sorted(given, key=lambda name: int(given[name]))
    for name, following in pairwise(ordered):
        if int(given[name]) == int(given[following]):
            raise RSPNetError(f"{str(index)!r}: {name!r} and {following!r} have the same number {given[name]}")
    return {name: place for place, name in enumerate(ordered)}
