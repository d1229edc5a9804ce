from __future__ import annotations

from pathlib import Path

import pytest

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord, read_folder, read_list


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_folder_is_read_recursively_in_name_order(tmp_path: Path) -> None:
    make(tmp_path, "b/two words.MP4", "a.avi", "b/ünï.webm", "c/d/e.mkv")
    make(tmp_path, "notes.txt", "._a.avi", ".hidden.mp4", ".cache/x.mp4")
    records = read_folder(tmp_path)
    assert [record.name for record in records] == ["a.avi", "b/two words.MP4", "b/ünï.webm", "c/d/e.mkv"]
    assert records[0] == VideoRecord(tmp_path / "a.avi", "a.avi")


def test_link_loops_end_and_linked_folders_are_read(tmp_path: Path) -> None:
    make(tmp_path, "data/a.mp4", "elsewhere/b.mp4")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere")
    assert [record.name for record in read_folder(tmp_path / "data")] == ["a.mp4", "more/b.mp4"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "does not exist"), ("file.txt", "is not a folder"), ("empty", "holds no video .*\\.avi")],
)
def test_folder_errors(tmp_path: Path, name: str, message: str) -> None:
    make(tmp_path, "file.txt", "empty/readme.md")
    with pytest.raises(RSPNetError, match=f"data root '.*{name}' {message}"):
        read_folder(tmp_path / name)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_numbers(tmp_path: Path) -> None:
    make(tmp_path, "a b.mp4")
    records = read_list(write(tmp_path, '\ufeffPath, label\n\na b.mp4,3\n"c, d.avi",1\n'))
    assert records == [
        VideoRecord(tmp_path / "a b.mp4", "a b.mp4", 3),
        VideoRecord(tmp_path / "c, d.avi", "c, d.avi", 1),
    ]


def test_csv_with_names_and_more_columns(tmp_path: Path) -> None:
    root = make(tmp_path / "videos", "x.mp4")
    records = read_list(write(tmp_path, "id,label,path\n7,walk,x.mp4\n8,bow,y.mp4\n"), root)
    assert [(r.path, r.label, r.class_name) for r in records] == [
        (root / "x.mp4", 1, "walk"),
        (root / "y.mp4", 0, "bow"),
    ]


def test_plain_text(tmp_path: Path) -> None:
    make(tmp_path, "b.mp4")
    records = read_list(write(tmp_path, "a dance 2.avi\n\n  b.mp4 \nno ending\n"))
    assert [(record.name, record.label) for record in records] == [
        ("a dance 2.avi", None),
        ("b.mp4", None),
        ("no ending", None),
    ]


def test_plain_text_with_labels_and_absolute_paths(tmp_path: Path) -> None:
    make(tmp_path, "ü b.mp4")
    records = read_list(write(tmp_path, f"{tmp_path}/ü b.mp4 4\nc d.avi 0\n"), "/nowhere")
    assert [(record.path, record.label) for record in records] == [
        (tmp_path / "ü b.mp4", 4),
        (Path("/nowhere/c d.avi"), 0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no video"),
        ("path,label\n", "names no video"),
        ("path,label\na.mp4,1\nb.mp4\n", "line 3: 1 fields, the header has 2"),
        ("path,label\na.mp4,1\n,2\n", "line 3: the path is empty"),
        ("a.mp4\n\nb.mp4\na.mp4\n", "line 4: 'a.mp4' is already listed in line 1"),
        ("a.mp4 1\nb.mp4\n", "line 2: either every video has a label or none"),
        ("c.mp4\nd.mp4\n", "none of the 2 videos listed"),
        (
            "file,class\na.mp4,1\n",
            "none of the 2 videos listed .*; a CSV starts with a header that names the column path",
        ),
    ],
)
def test_list_errors(tmp_path: Path, text: str, message: str) -> None:
    make(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(RSPNetError, match=message):
        read_list(write(tmp_path, text))


def test_unreadable_list(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RSPNetError, match="not UTF-8 text"):
        read_list(tmp_path / "bad")
    with pytest.raises(RSPNetError, match=r"cannot read video list '.*none': No such file"):
        read_list(tmp_path / "none")
