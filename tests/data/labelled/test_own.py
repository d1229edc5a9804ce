"""One's own videos in folders and lists: which part is scored, and how classes are numbered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.read_labelled import class_names, in_classes, read_labelled, scored_split


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(kind: str, root: Path, **options: object) -> dict[str, list[str]]:
    return {
        split: [record.name for record in read_labelled(kind, root, split=split, **options)]  # type: ignore[arg-type]
        for split in ("train", "val", "test")
    }


@pytest.mark.parametrize(
    "spelled", [("train", "val", "test"), ("Training", "validation", "TEST"), ("train", "dev", "testing")]
)
def test_test_is_scored_and_val_may_choose(tmp_path: Path, spelled: tuple[str, ...]) -> None:
    train, val, test = spelled
    root = make(tmp_path, f"{train}/a/1.mp4", f"{train}/b/2.mp4", f"{val}/a/3.mp4", f"{test}/b/4.mp4", "notes.txt")
    assert names("folders", root) == {
        "train": [f"{train}/a/1.mp4", f"{train}/b/2.mp4"],
        "val": [f"{val}/a/3.mp4"],
        "test": [f"{test}/b/4.mp4"],
    }
    assert scored_split("folders", root) == "test"
    assert [record.label for record in read_labelled("folders", root, split="test")] == [1]


def test_val_is_scored_where_it_is_all_there_is(tmp_path: Path) -> None:
    root = make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4")
    assert names("folders", root) == {"train": ["train/a/1.mp4", "train/b/2.mp4"], "val": [], "test": ["val/a/3.mp4"]}
    assert scored_split("folders", root) == "val"


def test_there_may_be_no_val(tmp_path: Path) -> None:
    root = make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "test/a/3.mp4")
    assert names("folders", root) == {"train": ["train/a/1.mp4", "train/b/2.mp4"], "val": [], "test": ["test/a/3.mp4"]}


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ("holdout/a/5.mp4", "folder 'holdout' holds videos and is no split"),
        ("a/5.mp4", "folder 'a' holds videos and is no split"),
        ("validation/a/5.mp4", "holds both 'val' and 'validation'"),
        ("test/c/5.mp4", "class 'c' of .*test' has no folder in .*train'"),
        ("val/A/5.mp4", "classes 'A' and 'a' are nearly the same name"),
    ],
)
def test_folders_that_would_be_passed_over_are_errors(tmp_path: Path, further: str, message: str) -> None:
    root = make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "test/b/4.mp4", further)
    for split in ("train", "val", "test"):
        with pytest.raises(RSPNetError, match=message):
            read_labelled("folders", root, split=split)  # type: ignore[arg-type]


def test_folders_without_videos_and_empty_parts(tmp_path: Path) -> None:
    root = make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "annotations/a/x.json")
    assert names("folders", root)["test"] == ["val/a/3.mp4"]
    (root / "test").mkdir()
    with pytest.raises(RSPNetError, match="test' holds no class folder"):
        read_labelled("folders", root, split="test")


@pytest.mark.parametrize("there", ["train", "test", "val"])
def test_half_a_split_is_an_error(tmp_path: Path, there: str) -> None:
    root = make(tmp_path, f"{there}/a/1.mp4", f"{there}/b/1.mp4")
    with pytest.raises(RSPNetError, match=r"has no folder '(train|test)' beside"):
        read_labelled("folders", root, split="train")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{name}/{n}.mp4" for name in ("train", "car", "bus") for n in range(4)))
    records = read_labelled("folders", root, split="train")
    assert class_names(records) == ["bus", "car", "train"]
    assert scored_split("folders", root) == "by seed"
    assert read_labelled("folders", root, split="val") == []


def test_numbered_folders_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"train/{name}/1.mp4" for name in ("10", "9", "-1")), "test/9/2.mp4")
    assert class_names(read_labelled("folders", root, split="train")) == ["-1", "9", "10"]
    assert [record.label for record in read_labelled("folders", root, split="test")] == [1]


def test_one_file_by_two_names_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "test/a/3.mp4")
    (root / "test/b").symlink_to(root / "train/b")
    with pytest.raises(RSPNetError, match=r"'test/b/2.mp4' and 'train/b/2.mp4' are one and the same file"):
        read_labelled("folders", root, split="test")
    root = make(tmp_path / "seeded", "a/1.mp4", "a/2.mp4", "b/3.mp4")
    (root / "b/4.mp4").symlink_to(root / "a/1.mp4")
    with pytest.raises(RSPNetError, match="one and the same file"):
        read_labelled("folders", root, split="train")


def table(root: Path, rows: str) -> Path:
    path = root / "list.csv"
    path.write_text(rows, encoding="utf-8")
    return path


def test_a_missing_video_is_looked_for_in_the_list(tmp_path: Path) -> None:
    root = make(tmp_path, "0.mp4", "1.mp4", "2.mp4")
    source = table(root, "path,label,split\n0.mp4,b,train\ngone.mp4,a,train\n1.mp4,a,test\n")
    with pytest.raises(RSPNetError, match=rf"^'{source}': 1 of 2 train videos missing, the first of class 'a'"):
        names("csv", root, list=source)


def test_three_parts_of_a_list_stay_apart(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{n}.mp4" for n in range(4)))
    rows = "path,label,split\n0.mp4,b,train\n1.mp4,a,Train\n2.mp4,a,validation\n3.mp4,b,TEST\n"
    source = table(root, rows)
    expected = {"train": ["0.mp4", "1.mp4"], "val": ["2.mp4"], "test": ["3.mp4"]}
    assert names("csv", root, list=source) == expected
    assert names("csv", root, list=table(root, rows.replace(",", "\t"))) == expected
    assert scored_split("csv", root, list=source) == "test"
    source = table(root, rows.replace("TEST", "train"))
    assert names("csv", root, list=source) == {"train": ["0.mp4", "1.mp4", "3.mp4"], "val": [], "test": ["2.mp4"]}
    assert scored_split("csv", root, list=source) == "val"


@pytest.mark.parametrize("word", ["holdout", "", "nan", "tset"])
def test_an_unknown_split_is_an_error(tmp_path: Path, word: str) -> None:
    root = make(tmp_path, "0.mp4", "1.mp4")
    source = table(root, f"path,label,split\n0.mp4,a,train\n1.mp4,b,{word}\n")
    with pytest.raises(RSPNetError, match=f"line 3: split '{word}' is none of train, "):
        read_labelled("csv", root, split="train", list=source)


@pytest.mark.parametrize(
    "ids", [["20231200", "20231301", "20240001"], ["1", "2", "3"], ["-1", "0", "1.7e12"], ["2", "nan", "x y"]]
)
def test_ids_are_names(tmp_path: Path, ids: list[str]) -> None:
    root = make(tmp_path, *(f"{n}-{c}.mp4" for c in range(3) for n in range(2)))
    rows = "".join(f"{n}-{c}.mp4,{name},{'test' if n else 'train'}\n" for n in range(2) for c, name in enumerate(ids))
    source = table(root, f"path,label,split\n{rows}")
    train = read_labelled("csv", root, split="train", list=source)
    assert [(record.label, record.class_name) for record in train] == list(enumerate(ids))
    assert class_names(train) == ids
    assert class_names(train, read_labelled("csv", root, split="test", list=source)) == ids


def test_records_take_the_numbers_of_a_classifier(tmp_path: Path) -> None:
    records = [VideoRecord(tmp_path / name, name, number, name) for number, name in enumerate(("9", "10"))]
    assert [record.label for record in in_classes(records, ["8", "10", "9"], source="'x.ckpt'")] == [2, 1]
    with pytest.raises(RSPNetError, match=r"'10' is of class '10', which is none of the 2 of 'x\.ckpt'"):
        in_classes(records, ["8", "9"], source="'x.ckpt'")


def test_what_lies_in_a_class_folder_and_is_no_file_is_for_the_reader_to_skip(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.mp4", "b/2.mp4")
    os.mkfifo(root / "a" / "pipe.mp4")
    (root / "b" / "self.mp4").symlink_to(root / "b" / "self.mp4")
    found = names("folders", root)
    assert sorted(found["train"] + found["test"]) == ["a/1.mp4", "a/pipe.mp4", "b/2.mp4", "b/self.mp4"]
    (root / "a" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    with pytest.raises(RSPNetError, match=r"1 of \d (train|test) videos missing.*'a'.*gone\.mp4"):
        names("folders", root)
