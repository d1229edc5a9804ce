"""HMDB51: `CLASS/NAME.avi`, and for every class `CLASS_test_splitN.txt` with a tag behind each name.

Tags: 1 is training, 2 is testing, 0 is left out of this fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rspnet.core.errors import RSPNetError
from rspnet.data.labelled.layout import Entry, Request, first_folder, read_lines

_TAGS = {"train": "1", "test": "2"}


def entries(request: Request) -> Iterator[Entry]:
    """The videos of one fold with the split's tag; classes are numbered in alphabetical order.

    Raises:
        RSPNetError: no split files, a class folder without one, or a line with another tag than 0, 1 or 2.
    """
    root = request.root
    annotations = _annotations(root)
    videos = first_folder(root, ["hmdb51_org", "hmdb51", "videos", "."], holds="HMDB51's class folders")
    ending, names = _ending(request), classes(request)
    for folder in videos.iterdir():
        is_class = folder.is_dir() and folder != annotations and not folder.name.startswith(".")
        if is_class and not annotations.is_relative_to(folder) and folder.name not in names:
            raise RSPNetError(
                f"class {folder.name!r} has no split file: expected {str(annotations)!r}/{folder.name}{ending}"
            )
    for label, name in enumerate(names):
        source = annotations / f"{name}{ending}"
        for number, line in enumerate(read_lines(source, holds="lines of `NAME.avi 1`"), start=1):
            video, _, tag = line.rpartition(" ")
            if tag not in ("0", "1", "2") or not video:
                raise RSPNetError(f"{str(source)!r} line {number}: {line!r} is not of the form `NAME.avi 0|1|2`")
            if tag == _TAGS[request.split]:
                yield Entry(videos / name / video.strip(), label, name)


def classes(request: Request) -> list[str]:
    """The classes that there are split files of, by number."""
    annotations, ending = _annotations(request.root), _ending(request)
    names = sorted(path.name.removesuffix(ending) for path in annotations.glob(f"*{ending}"))
    if not names:
        raise RSPNetError(f"no file CLASS{ending} in {str(annotations)!r}: expected one for every class of HMDB51")
    return names


def _annotations(root: Path) -> Path:
    return first_folder(
        root,
        [
            "testTrainMulti_7030_splits",
            "test_train_splits/testTrainMulti_7030_splits",
            "splits",
            "annotations",
            "metafile",
            ".",
        ],
        holds="HMDB51's files CLASS_test_split1.txt",
    )


def _ending(request: Request) -> str:
    return f"_test_split{request.fold}.txt"
