from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord, read_folder, read_list, read_videos
from rspnet.data.list_rows import read_rows


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
    with pytest.raises(RSPNetError, match=f"'.*{name}' {message}"):
        read_folder(tmp_path / name)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_numbers(tmp_path: Path) -> None:
    make(tmp_path, "a b.mp4")
    records = read_list(write(tmp_path, '\ufeffPath, label\n\na b.mp4,3\n"c, d.avi",1\n'))
    assert records == [
        VideoRecord(tmp_path / "a b.mp4", "a b.mp4", 1, "3"),
        VideoRecord(tmp_path / "c, d.avi", "c, d.avi", 0, "1"),
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
    assert [(record.path, record.label, record.class_name) for record in records] == [
        (tmp_path / "ü b.mp4", 1, "4"),
        (Path("/nowhere/c d.avi"), 0, "0"),
    ]


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        ("a b.mp4 300 wave\nc.avi 120 bow", ["wave", "bow"]),
        ("a b.mp4\t300\tbrush hair\nc.avi\t120\tbow", ["brush hair", "bow"]),
        ("a b.mp4\twave\nc.avi\t2 hands", ["wave", "2 hands"]),
        ("a b.mp4 brush hair\nc.avi 3", ["brush hair", "3"]),
        ("a b.mp4, 7\nc.avi, 9", ["7", "9"]),
        ("'a b.mp4' 300 7\n\"c.avi\" 9 9", ["7", "9"]),
        ("path\tlabel\na b.mp4\twave\nc.avi\tbow", ["wave", "bow"]),
        ("Label;Path\nwave;a b.mp4\nbow;c.avi", ["wave", "bow"]),
    ],
)
def test_forms_of_lists_that_other_programs_write(tmp_path: Path, lines: str, labels: list[str]) -> None:
    make(tmp_path, "a b.mp4")
    records = read_list(write(tmp_path, lines))
    assert [record.name for record in records] == ["a b.mp4", "c.avi"]
    assert [record.class_name for record in records] == labels


@pytest.mark.parametrize(
    "lines",
    [
        "a.mp4 10 200 3\nb.mp4 20 100 4",
        "clips/a 120 0\nclips/b 30 1",
        "path frames label\na.mp4 10 3",
        "file,class\na.mp4,1",
    ],
)
def test_a_list_of_another_form_is_shown_and_says_what_was_expected(tmp_path: Path, lines: str) -> None:
    make(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(RSPNetError) as caught:
        read_list(write(tmp_path, lines))
    assert lines.partition("\n")[0] in str(caught.value)
    assert "`path frames label`" in str(caught.value)


def test_a_file_is_listed_once_whatever_way_it_is_written(tmp_path: Path) -> None:
    make(tmp_path, "sub/a.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "sub/a.mp4")
    (tmp_path / "other").symlink_to(tmp_path / "sub")
    for again in ("./sub/a.mp4", "sub/../sub/a.mp4", "other/a.mp4", "link.mp4", f"{tmp_path}/sub/a.mp4"):
        with pytest.raises(RSPNetError, match=r"line 2: .* is already listed in line 1 as 'sub/a\.mp4'"):
            read_list(write(tmp_path, f"sub/a.mp4\n{again}\n"))


def test_a_file_and_links_to_it_are_one_video_of_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "data/z.mp4", "elsewhere/b.mp4")
    for name in ("a", "m"):
        (tmp_path / f"data/{name}.mp4").symlink_to(tmp_path / "data/z.mp4")
        (tmp_path / f"data/b-{name}.mp4").symlink_to(tmp_path / "elsewhere/b.mp4")
    assert [record.name for record in read_folder(tmp_path / "data")] == ["b-a.mp4", "z.mp4"]


def test_files_and_folders_of_one_run_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "A/x.mp4", "A/y.mp4", "B/x.mp4", "c.mp4")
    (tmp_path / "L").symlink_to(tmp_path / "A")
    monkeypatch.chdir(tmp_path)
    assert [record.name for record in read_videos(["A"])] == ["x.mp4", "y.mp4"]
    names = [record.name for record in read_videos(["A", "./c.mp4", "B", "c.mp4", "L", "B/../A", tmp_path / "A/x.mp4"])]
    assert names == ["A/x.mp4", "A/y.mp4", "c.mp4", "B/x.mp4"]
    assert [record.name for record in read_videos(["A", "./A/", tmp_path / "A"])] == ["A/x.mp4", "A/y.mp4"]


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x0b"])
def test_names_with_line_breaks_are_read_from_tables(tmp_path: Path, mark: str) -> None:
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label"], [f"a{mark}b.mp4", f"x{mark}y"], ["c.mp4", "z"]])
    rows = read_rows(tmp_path / "list.csv")
    assert [(row.path, row.label) for row in rows] == [(f"a{mark}b.mp4", f"x{mark}y"), ("c.mp4", "z")]
    assert rows[1].line == (5 if mark in "\r\n" else 3)


def test_only_line_ends_end_a_line_of_a_text_list(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("a\u2028b.mp4 1\r\nc\x0bd.mp4 2\re.mp4 3\n".encode())
    found = [(row.line, row.path, row.label) for row in read_rows(tmp_path / "list.txt")]
    assert found == [(1, "a\u2028b.mp4", "1"), (2, "c\x0bd.mp4", "2"), (3, "e.mp4", "3")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no video"),
        ("path,label\n", "names no video"),
        ("path,label\na.mp4,1\nb.mp4\n", "line 3: 1 fields, the header has 2"),
        ("path,label\na.mp4,1\n,2\n", "line 3: the path is empty"),
        ("a.mp4\n\nb.mp4\na.mp4\n", "line 4: 'a.mp4' is already listed in line 1"),
        ("a.mp4 1\nb.mp4\n", "line 2: either every video has a label or none"),
        ("c.mp4\nd.mp4\n", "none of 2 videos listed"),
        (
            "file,class\na.mp4,1\n",
            "line 2: either every video has a label or none.* expected a table .*header names a column path",
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
    with pytest.raises(RSPNetError, match=r"'.*none' does not exist"):
        read_list(tmp_path / "none")
