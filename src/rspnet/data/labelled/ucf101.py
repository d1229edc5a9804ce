"""UCF101: `UCF-101/CLASS/v_CLASS_g01_c01.avi`, and `ucfTrainTestlist` with `classInd.txt` and three folds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rspnet.core.errors import RSPNetError
from rspnet.data.labelled.layout import Entry, Request, first_file, first_folder, read_lines


def entries(request: Request) -> Iterator[Entry]:
    """The videos of one fold's `trainlist0N.txt` or `testlist0N.txt`.

    Raises:
        RSPNetError: a missing file, a malformed line, or a class `classInd.txt` does not name.
    """
    root = request.root
    index = _index(root)
    numbers = _class_numbers(index)
    videos = first_folder(root, ["UCF-101", "videos", "."], holds="UCF101's class folders")
    source = index.parent / f"{request.split}list{request.fold:02d}.txt"
    holds = f"fold {request.fold} of UCF101, lines of `CLASS/v_CLASS_g01_c01.avi`"
    for number, line in enumerate(read_lines(source, holds=holds), start=1):
        # Train lists carry a class number after the name, test lists do not; the folder names the class in both.
        name = line.rpartition(" ")[0] if line.rpartition(" ")[2].isdecimal() else line
        class_name = Path(name).parent.name
        if class_name not in numbers:
            raise RSPNetError(
                f"{str(source)!r} line {number}: class {class_name!r} is not among the {len(numbers)} of {str(index)!r}"
            )
        yield Entry(videos / name, numbers[class_name], class_name)


def classes(request: Request) -> list[str]:
    """The classes of `classInd.txt`, by number."""
    numbers = _class_numbers(_index(request.root))
    return sorted(numbers, key=lambda name: numbers[name])


def _index(root: Path) -> Path:
    return first_file(
        root,
        ["ucfTrainTestlist/classInd.txt", "classInd.txt", "annotations/classInd.txt"],
        holds="UCF101's class list, lines of `1 ApplyEyeMakeup`",
    )


def _class_numbers(index: Path) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for line_number, line in enumerate(read_lines(index, holds="lines of `1 ApplyEyeMakeup`"), start=1):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise RSPNetError(f"{str(index)!r} line {line_number}: {line!r} is not of the form `1 ApplyEyeMakeup`")
        numbers[name.strip()] = int(number) - 1
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise RSPNetError(f"{str(index)!r}: class numbers must run from 1 to {len(numbers)} without gaps")
    return numbers
