"""Diving48: `rgb/NAME.mp4`, JSON files of videos, and a vocabulary of 48 dives."""

from __future__ import annotations

from collections.abc import Iterator

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
    index = first_file(root, ["Diving48_vocab.json", "annotations/Diving48_vocab.json"], holds="Diving48's 48 classes")
    vocabulary = read_json(index, holds="a list of classes")
    if not isinstance(vocabulary, list):
        raise RSPNetError(f"{str(index)!r} is not a list of classes")
    folder = first_folder(root, ["rgb", "videos", "."], holds="the videos, NAME.mp4")
    for entry, row in json_rows(source, ("vid_name", "label"), holds=holds):
        label = row["label"]
        if not isinstance(label, int) or not 0 <= label < len(vocabulary):
            raise RSPNetError(f"{entry}: class {label!r} is not among the {len(vocabulary)} of {str(index)!r}")
        words = vocabulary[label]
        name = " ".join(map(str, words)) if isinstance(words, list) else str(words)
        yield Entry(folder / f"{row['vid_name']}.mp4", label, name)
