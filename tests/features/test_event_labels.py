from __future__ import annotations

import csv

import numpy as np
import pytest

from rspnet.core.errors import RSPNetError
from rspnet.core.urls import as_path
from rspnet.features.event_labels import Label, as_spans, find_paths, is_exclusive, read_labels, truth_of


def written(folder, text):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_of_parts_and_of_whole_videos(tmp_path):
    found = read_labels(written(tmp_path, "path,label,start_s,end_s,group\na.mp4,run,1.5,3,x\n\nb.mp4,sit,,,y\n"))
    assert found == [Label("a.mp4", "run", 1.5, 3.0, "x"), Label("b.mp4", "sit", 0.0, float("inf"), "y")]


@pytest.mark.parametrize(
    "text", ["path;label;start_s;end_s\na.mp4;run;1,5;3", "path\tlabel\tstart_s\tend_s\na.mp4\trun\t1.5\t3,0"]
)
def test_tables_of_spreadsheets_that_write_decimal_commas(tmp_path, text):
    """Excel in most of Europe; with a byte order mark and line ends of its own."""
    path = written(tmp_path, "\ufeff" + text.replace("\n", "\r\n"))
    assert read_labels(path) == [Label("a.mp4", "run", 1.5, 3.0)]


def test_aggregated_events_of_boris_are_labels(tmp_path):
    header = "Observation id\tSubject\tBehavior\tBehavior type\tStart (s)\tStop (s)\tMedia file name"
    found = read_labels(written(tmp_path, f"{header}\none\tcat\tgroom\tSTATE\t1.000\t4.200\tvideos/a.mp4\n"))
    assert found == [Label("videos/a.mp4", "groom", 1.0, 4.2)]


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x0b", "\x1c"])
def test_names_with_line_breaks_are_read_back(tmp_path, mark):
    rows = [[f"new{mark}line.mp4", f"An{mark}gry"], ["b.mp4", "calm"]]
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label"], *rows])
    assert read_labels(path) == [Label(*row) for row in rows]
    assert read_labels(path)[1].where.endswith(" line 5" if mark in "\r\n" else " line 3")


def test_a_double_quote_that_is_left_open_is_named_by_its_line(tmp_path):
    text = 'path,label\na.mp4,run\n"b.mp4,sit\n' + "c.mp4,run\n" * 20_000
    with pytest.raises(RSPNetError, match=r"labels\.csv' line 3: field larger .* \(is a double quote left open\?\)"):
        read_labels(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("path,label\n", "no row below the header"),
        ("file,label\na,b\n", "no column 'path'"),
        ("path,label,start,end\na.mp4,b,1,2\n", "columns 'start', 'end': call them start_s and end_s, in seconds"),
        ("path,label,Duration (s),Onset\na.mp4,b,1,2\n", r"columns 'onset', 'duration \(s\)': call them"),
        ("path,label,label\na.mp4,b,c\n", "two columns 'label'"),
        ("path,label\na.mp4\n", "line 2: 1 fields, the header has 2"),
        ("path,label\na.mp4,\n", "line 2: the label is empty"),
        ("path,label\na.mp4,Left\nb.mp4,left\n", "classes 'Left' and 'left' are nearly the same name"),
        ("path,label\na.mp4,Background\n", "classes 'Background' and 'background' are nearly the same name"),
        ("path,label,start_s,end_s\na,b,1,\n", "line 2: start_s '1', end_s '': give both"),
        ("path,label,start_s,end_s\na,b,one,2\n", "line 2: start_s 'one', end_s '2': must be seconds"),
        ("path,label,start_s,end_s\na,b,3,2\n", "line 2: start_s 3, end_s 2: the end must come after"),
        (
            "path,label,start_s,end_s\na,b,3.0,3\n",
            "line 2: start_s and end_s are both 3.0: a point in time has no length",
        ),
        ("path,label,start_s,end_s\na,b,nan,2\n", "line 2: start_s nan, end_s 2: the end must come after"),
        ("path,label,start_s,end_s\na,b,0,inf\n", "line 2: start_s 0, end_s inf: the end must come after"),
    ],
)
def test_bad_tables_are_refused_by_line(tmp_path, text, message):
    with pytest.raises(RSPNetError, match=message):
        read_labels(written(tmp_path, text))


def test_a_label_finds_its_video_by_path_or_by_the_end_of_it(tmp_path):
    known = {
        f"{tmp_path}/a.mp4": "a.mp4",
        "/far/x/b.mp4": "b.mp4",
        "/far/y/c.mp4": "y/c.mp4",
        "/far/z/c.mp4": "z/c.mp4",
        "s3://clips/v/e.mp4": "e.mp4",
    }
    names = ["a.mp4", "b.mp4", "y/c.mp4", "/far/z/c.mp4", "s3://clips/v/e.mp4"]
    found = find_paths([Label(name, "l") for name in names], known, root=tmp_path)
    assert list(found) == list(known)
    with pytest.raises(RSPNetError, match=r"'d\.mp4': it has no features"):
        find_paths([Label("d.mp4", "l")], known, root=tmp_path)
    with pytest.raises(RSPNetError, match=r"'c\.mp4': it may be '/far/y/c\.mp4' or '/far/z/c\.mp4'"):
        find_paths([Label("c.mp4", "l")], known, root=tmp_path)
    table = written(tmp_path, "path,label\na.mp4,l\ngone.mp4,l\n")
    with pytest.raises(RSPNetError, match=rf"^labels '{table}' line 3: label 'l' of 'gone\.mp4': it has no"):
        find_paths(read_labels(table), known, root=tmp_path)
    assert list(find_paths([Label("v/e.mp4", "l")], known, root=as_path("s3://clips"))) == ["s3://clips/v/e.mp4"]


def test_columns_that_only_begin_like_times_are_of_no_matter(tmp_path):
    found = read_labels(written(tmp_path, "path,label,from,endangered,time\na.mp4,run,x,y,z\n"))
    assert found == [Label("a.mp4", "run")]


@pytest.mark.parametrize(
    "names",
    [
        ("t_start", "t_end"), ("t0", "t1"), ("tmin", "tmax"), ("event_start", "event_end"), ("time_in", "time_out"),
        ("first_s", "last_s"), ("in_s", "out_s"), ("t_from", "t_to"),
        ("clip_first", "clip_last"), ("startTime", "endTime"), ("first_frame", "last_frame"),
        ("event_start", "duration"),
    ],
)  # fmt: skip
def test_times_by_other_names_are_refused_for_whole_videos_would_be_labelled(tmp_path, names):
    first, second = (name.lower() for name in names)
    message = f"no columns start_s and end_s, so each row .* whole video; are '{first}', '{second}' times"
    for before in ("", ",fold,camera"):
        held = "7,2" if before else ""
        rows = [f"path,label{before},{','.join(names)}"]
        rows += [f"x.mp4,run,{held},{times}".replace(",,", ",") for times in ("2,6", "12.5,16", "0,4")]
        with pytest.raises(RSPNetError, match=message):
            read_labels(written(tmp_path, "\n".join(rows)))


def test_a_score_may_stand_between_the_times(tmp_path):
    with pytest.raises(RSPNetError, match="are 't0', 't1' times"):
        read_labels(written(tmp_path, "path,label,t0,score,t1\na.mp4,run,2,0.3,6\nb.mp4,run,0,9,4\n"))


def test_names_of_starts_and_ends_are_known_in_any_order(tmp_path):
    with pytest.raises(RSPNetError, match="are 't_start', 't_end' times"):
        read_labels(written(tmp_path, "path,label,t_end,note,t_start\na.mp4,run,6,x,2\nb.mp4,run,4,,0\n"))


def test_times_of_clocks_and_of_some_rows_are_times_too(tmp_path):
    for text in (
        "path,label,t0,t1\na.mp4,run,0:02,0:06.5\nb.mp4,run,1:00:02,1:00:03\n",
        "path,label,t0,t1\na.mp4,run,2 s,6 s\nb.mp4,sit,,\n",
        "path;label;t0;t1\na.mp4;run;1,5;1,75\n",
        "path,label,t0,t1\na.mp4,run,2,6\nb.mp4,sit,3,3\n",
        "path,label,t0,t1\na.mp4,run,2,6\nb.mp4,sit,NA,NA\n",
        "path,label,t0,t1\na.mp4,run,2,6\nb.mp4,sit,3,\n",
        "path,label,t0,t1\na.mp4,run,00:00:01:05,00:00:02:00\n",
    ):
        with pytest.raises(RSPNetError, match="are 't0', 't1' times"):
            read_labels(written(tmp_path, text))


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        ("id,frames", ["1,300", "2,250"]),
        (",videoId,fold", ["0,1,2", "1,2,3"]),
        ("class_id,fps,width,height", ["1,25,320,400", "2,30,640,700"]),
        ("fold,duration", ["1,12.5", "2,8"]),
        ("views,likes_2020", ["3,40", "5,60"]),
        ("x1,x2", ["10,20", "30,40"]),
        ("outdoor,walk", ["0,1", "0,1"]),
        ("take,subject", ["1,2", "3,4"]),
        ("time", ["1.5", "2"]),
        ("t0,t1", ["soon,later", "now,then"]),
        ("t0,t1", [",", ","]),
        ("first_seen,last_seen", ["1998,2004", "2001,2002"]),
        ("recorded_from,duration", ["14:30:00,3", "9:00:00,4"]),
        ("last_whom,first_whom", ["Ann,Bo", "Bo,Ann"]),
    ],
)
def test_numbers_that_tables_of_whole_videos_have_are_of_no_matter(tmp_path, names, rows):
    lines = [f"{n}.mp4,run,{n},{n + 9},{row}" for n, row in enumerate(rows)]
    text = "\n".join([f"path,label,split,group,{names}", *lines])
    found = read_labels(written(tmp_path, text))
    assert found == [Label(f"{n}.mp4", "run", group=str(n + 9)) for n in range(len(rows))]


def test_other_numbers_beside_times_are_of_no_matter(tmp_path):
    found = read_labels(written(tmp_path, "path,label,t0,t1,start_s,end_s\na.mp4,run,1,2,3,4\n"))
    assert found == [Label("a.mp4", "run", 3, 4)]


def test_a_file_that_is_there_is_not_taken_for_another_of_its_name(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_text(name)
    known = {str(tmp_path / "old" / "a.mp4"): "a.mp4"}
    with pytest.raises(RSPNetError, match=r"new/a\.mp4' has no features, and '.*old/a\.mp4', which has, is another"):
        find_paths([Label("a.mp4", "l")], known, root=tmp_path / "new")
    (tmp_path / "new" / "a.mp4").write_text("old")  # a copy
    assert list(find_paths([Label("a.mp4", "l")], known, root=tmp_path / "new")) == list(known)
    (tmp_path / "new" / "a.mp4").write_text("new")
    (tmp_path / "old" / "a.mp4").unlink()  # moved
    assert list(find_paths([Label("a.mp4", "l")], known, root=tmp_path / "new")) == list(known)


def test_paths_with_two_dots_are_found(tmp_path):
    known = {str(tmp_path / "videos" / "a.mp4"): "a.mp4", str(tmp_path / "more" / "a.mp4"): "a.mp4"}
    (tmp_path / "labels").mkdir()
    found = find_paths([Label("../videos/a.mp4", "l")], known, root=tmp_path / "labels")
    assert list(found) == [str(tmp_path / "videos" / "a.mp4")]


def test_labels_of_a_video_are_of_one_group(tmp_path):
    known = {str(tmp_path / "a.mp4"): "a.mp4"}
    rows = [Label("a.mp4", "l", 0, 1, "x"), Label("a.mp4", "k", 2, 3, "y")]
    with pytest.raises(RSPNetError, match=r"label 'k' of 'a\.mp4': its group is 'y', but 'x' in label 'l'"):
        find_paths(rows, known, root=tmp_path)


def test_labels_of_a_class_that_share_moments_are_one():
    a, b = (lambda *times: Label("v", "a", *times)), (lambda *times: Label("v", "b", *times))
    assert as_spans([a(5, 7), b(0, 6), a(1, 3), a(2, 4), a(4, 5), a(1, 3)]) == [b(0, 6), a(1, 4), a(4, 5), a(5, 7)]
    assert as_spans([a(3, 4), Label("v", "a"), b(1, 2)]) == [Label("v", "a"), b(1, 2)]


def test_labels_that_share_less_than_a_tenth_of_a_window_touch():
    rows = {"v": [Label("v", "a", 0, 2.1), Label("v", "b", 2, 3)]}
    assert not is_exclusive(rows)
    assert is_exclusive(rows, window_s=2)
    assert not is_exclusive(rows, window_s=0.9)


def test_classes_exclude_each_other_unless_they_meet():
    assert is_exclusive({"v": [Label("v", "a", 0, 2), Label("v", "b", 2, 3), Label("v", "a", 1, 2)]})
    assert not is_exclusive({"v": [Label("v", "a", 0, 2), Label("v", "b", 1.9, 3)]})
    assert is_exclusive({"v": [Label("v", "a")], "w": [Label("w", "b")]})
    assert not is_exclusive({"v": [Label("v", "a"), Label("v", "b")]})


def test_windows_hold_what_covers_half_and_borders_hold_nothing():
    starts = np.arange(0.0, 7.0)
    truth = truth_of([Label("v", "a", 2.0, 5.0)], ["a", "b"], starts, starts + 2, exclusive=True)
    assert truth.holds[:, 0].tolist() == [False, True, True, True, True, False, False]
    assert not truth.holds[:, 1].any()
    assert truth.free.tolist() == [True, False, False, False, False, True, True]
    assert truth.row.tolist() == [-1, 0, 0, 0, 0, -1, -1]
    late = truth_of([Label("v", "a", 2.9, 5.0)], ["a"], starts, starts + 2, exclusive=True)
    assert late.holds[1].tolist() == [False]
    assert not late.free[1]


def test_a_label_shorter_than_a_window_holds_where_it_is_half_inside():
    truth = truth_of(
        [Label("v", "a", 1.9, 2.3)], ["a"], np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0]), exclusive=True
    )
    assert truth.holds[:, 0].tolist() == [False, True, True]


def test_between_two_classes_the_larger_share_wins_and_a_tie_holds_nothing():
    labels = [Label("v", "a", 0.0, 3.0), Label("v", "b", 3.0, 6.0)]
    starts = np.array([1.0, 2.0, 2.5])
    truth = truth_of(labels, ["a", "b"], starts, starts + 2, exclusive=True)
    assert truth.holds.tolist() == [[True, False], [False, False], [False, True]]
    both = truth_of(labels, ["a", "b"], starts, starts + 2, exclusive=False)
    assert both.holds[1].tolist() == [True, True]
