"""Diving48: `rgb/NAME.mp4`, JSON files of videos, and a vocabulary of 48 dives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rspnet.core.errors import RSPNetError
from rspnet.data.labelled.layout import Entry, Request, first_file, first_folder, json_rows, read_json


def entries(request: Request) -> Iterator[Entry]:
    """The videos of `Diving48_V2_train.json` or `Diving48_V2_test.json` (or of the first version).

    Raises:
        RSPNetError: a missing or malformed file, or a label outside the vocabulary.
    """
    root = request.root
    names = [
        f"{folder}Diving48_{version}{request.split}.json" for folder in ("", "annotations/") for version in ("V2_", "")
    ]
    holds = "Diving48's videos, a list of {vid_name, label}"
    source = first_file(root, names, holds=holds)
    index = _index(root)
    dives = _names(index)
    folder = first_folder(root, ["rgb", "videos", "."], holds="the videos, NAME.mp4")
    for entry, row in json_rows(source, ("vid_name", "label"), holds=holds):
        label = row["label"]
        if not isinstance(label, int) or not 0 <= label < len(dives):
            raise RSPNetError(f"{entry}: class {label!r} is not among the {len(dives)} of {str(index)!r}")
        yield Entry(folder / f"{row['vid_name']}.mp4", label, dives[label])


def classes(request: Request) -> list[str]:
    """The dives of the vocabulary, by number."""
    return _names(_index(request.root))


def _index(root: Path) -> Path:
    names = ["Diving48_vocab.json", "annotations/Diving48_vocab.json"]
    return first_file(root, names, holds="Diving48's 48 classes")


def _names(index: Path) -> list[str]:
    vocabulary = read_json(index, holds="a list of classes")
    if not isinstance(vocabulary, list):
        raise RSPNetError(f"{str(index)!r} is not a list of classes")
    return [" ".join(map(str, words)) if isinstance(words, list) else str(words) for words in vocabulary]
