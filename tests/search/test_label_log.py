"""Labels made in the page: append-only tables that nobody overwrites."""

from __future__ import annotations

import resource
import signal
import threading

import pytest

from rspnet.core.errors import RSPNetError
from rspnet.features.event_labels import read_labels
from rspnet.search import label_log
from rspnet.search.label_log import LabelLog, Mark, part


def test_what_holds_is_what_all_files_say_together(tmp_path):
    anna, ben = LabelLog(tmp_path / "labels"), LabelLog(tmp_path / "labels")
    assert anna.read().marks == ()
    anna.add_class("walk, slowly")
    (first,) = anna.change([part("/v/a.mp4", "walk, slowly", 0.0, 1.23456)])
    second, third = ben.change([part("/v/a.mp4", "jump", 2, 3), part('/v/odd"\n,.mp4', "jump", 0, 1)])
    labels = anna.read()
    assert labels == ben.read()
    assert labels.classes == ("walk, slowly", "jump")
    assert [(mark.label, mark.start_s, mark.end_s) for mark in labels.of("/v/a.mp4")] == [
        ("walk, slowly", 0.0, 1.235),
        ("jump", 2.0, 3.0),
    ]
    assert [mark.id for mark in labels.at("/v/a.mp4", 0.0, 1.2346)] == [first]
    assert [mark.id for mark in labels.at("/v/a.mp4", 2.0, 4.0)] == [second]  # half of both together
    assert labels.at("/v/a.mp4", 2.0, 4.1) == []
    anna.change(remove=[second])  # Ben's
    ben.change(remove=[second])  # at the same time
    assert [mark.id for mark in LabelLog(tmp_path / "labels").read().marks] == [first, third]
    assert len(list((tmp_path / "labels").glob("*.csv"))) == 2


def test_two_people_at_once_lose_nothing(tmp_path):
    logs = [LabelLog(tmp_path) for _ in range(4)]

    def work(number):
        for step in range(25):
            logs[number].change([part(f"/v/{number}.mp4", "x", step, step + 1)])

    threads = [threading.Thread(target=work, args=(number % 4,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(logs[0].read().marks) == 100


def test_a_line_that_a_kill_cut_off_is_none(tmp_path):
    log = LabelLog(tmp_path)
    log.change([part("/v/a.mp4", "x", 0, 1)])
    log.change([part("/v/b.mp4", "x", 0, 1)])
    (file,) = tmp_path.glob("*.csv")
    whole = file.read_bytes()
    for cut in range(1, len(whole.splitlines(keepends=True)[-1]) + 1):
        file.write_bytes(whole[:-cut])
        assert [mark.path for mark in LabelLog(tmp_path).read().marks] == ["/v/a.mp4"]


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_write_that_failed_half_way_leaves_nothing(tmp_path, monkeypatch, can_cut):
    log = LabelLog(tmp_path)
    log.change([part("/v/a.mp4", "x", 0, 1)])
    (file,) = tmp_path.glob("*.csv")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 40, limits[1]))
    whole = file.read_bytes()
    if not can_cut:
        monkeypatch.setattr(label_log, "_cut", lambda file, size: None)
    try:
        with pytest.raises(RSPNetError, match=r"labels cannot be written to .*: File too large"):
            log.change([part("/v/b.mp4", "x", 0, 1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert (file.read_bytes() == whole) == can_cut
    log.change([part("/v/c.mp4", "x", 0, 1)])
    for reader in (log, LabelLog(tmp_path)):
        assert [mark.path for mark in reader.read().marks] == ["/v/a.mp4", "/v/c.mp4"]


def test_labels_of_no_length_are_refused_and_those_that_are_kept_label_nothing(tmp_path):
    for end in (1.0004, 1.0, 0.5):
        with pytest.raises(RSPNetError, match=r"label 'x' of a\.mp4: from 1 to .* s is less than a millisecond"):
            part("/v/a.mp4", "x", 1, end)
    log = LabelLog(tmp_path)
    log.change([Mark("/v/a.mp4", "x", 1.0, 1.0), Mark("/v/a.mp4", "x", 1.0, 2.0)])
    assert [(mark.start_s, mark.end_s) for mark in log.read().marks] == [(1.0, 2.0)]


def test_the_export_is_what_classify_fit_reads(tmp_path):
    log = LabelLog(tmp_path / "labels")
    log.change([part('/v/a "b", c.mp4', "x, y", 0.5, 2)])
    (tmp_path / "out.csv").write_text(log.read().as_csv())
    (row,) = read_labels(tmp_path / "out.csv")
    assert (row.path, row.label, row.start_s, row.end_s) == ('/v/a "b", c.mp4', "x, y", 0.5, 2.0)


def test_other_tables_are_let_alone(tmp_path):
    log = LabelLog(tmp_path)
    log.change([part("/v/a.mp4", "x", 0, 1)])
    (file,) = tmp_path.glob("*.csv")
    (tmp_path / "labels.csv").write_text(log.read().as_csv())
    (tmp_path / "latin.csv").write_bytes(b"name\n\xe4\n")
    assert len(LabelLog(tmp_path).read().marks) == 1
    (tmp_path / "renamed.csv").write_text(file.read_text().replace(",add,", ",add,1").replace("a.mp4", "b.mp4"))
    assert len(LabelLog(tmp_path).read().marks) == 2
    file.write_text("path,label\na,b\n")
    with pytest.raises(RSPNetError, match=r"\.csv' is no longer a table of labels of this page: move it elsewhere"):
        LabelLog(tmp_path).read()


@pytest.mark.parametrize("times", ["x,1", "0,nan", "0,inf", "-1,2", "2,1"])
def test_a_line_whose_times_are_none_is_named(tmp_path, times):
    log = LabelLog(tmp_path)
    log.add_class("x")
    (file,) = tmp_path.glob("*.csv")
    file.write_text(file.read_text() + f"2026,add,1,/v/a.mp4,x,{times}\n")
    with pytest.raises(RSPNetError, match=r"\.csv' line 3: from '.*' to '.*' is no part of a video: remove that line"):
        log.read()


def test_a_file_is_no_folder_for_labels(tmp_path):
    (tmp_path / "file").touch()
    log = LabelLog(tmp_path / "file")
    with pytest.raises(RSPNetError, match="labels cannot be written to"):
        log.change([part("a", "b", 0, 1)])
    with pytest.raises(RSPNetError, match=r"labels cannot be kept in '.*file': it is a file; name a folder"):
        log.read()
