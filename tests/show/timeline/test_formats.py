"""Events as other programs read them, checked by what reads them."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from rspnet.features.event_labels import Label, read_labels
from rspnet.features.timeline import Event
from rspnet.show.timeline.formats import VideoEvents, as_boris, as_csv, as_elan, as_webvtt, file_stems

NASTY = 'a & b <i>"x"</i> --> ü'
VIDEOS = [
    VideoEvents(
        "in/a.mp4", "/v/in/a.mp4", 4000.0, 25.0, [Event("run", 1.25, 3.5, 0.93), Event("sit", 2.0, 3723.004, 0.5)]
    ),
    VideoEvents("b.avi", "/v/b.avi", 10.0, 29.97, [Event(NASTY, 0.0, 1.0, 0.75), Event(NASTY, 2.0, 3.0, 0.6)]),
    VideoEvents("c.mov", "/v/c.mov", 5.0, 30.0, []),
]  # fmt: skip


def test_the_table_is_read_as_labels_again(tmp_path):
    (tmp_path / "events.csv").write_text(as_csv(VIDEOS), encoding="utf-8")
    assert read_labels(tmp_path / "events.csv") == [
        Label("/v/in/a.mp4", "run", 1.25, 3.5),
        Label("/v/in/a.mp4", "sit", 2.0, 3723.004),
        Label("/v/b.avi", NASTY, 0.0, 1.0),
        Label("/v/b.avi", NASTY, 2.0, 3.0),
    ]


def test_the_boris_table_is_read_as_labels_again_and_has_its_columns(tmp_path):
    (tmp_path / "boris.tsv").write_text(as_boris(VIDEOS), encoding="utf-8")
    assert sorted(read_labels(tmp_path / "boris.tsv"), key=lambda row: (row.path, row.start_s))[2:] == [
        Label("/v/in/a.mp4", "run", 1.25, 3.5),
        Label("/v/in/a.mp4", "sit", 2.0, 3723.004),
    ]
    rows = list(csv.DictReader(as_boris(VIDEOS).splitlines(), delimiter="\t"))
    assert {row["Behavior type"] for row in rows} == {"STATE"}
    assert rows[0]["Duration (s)"] == "2.250"
    assert rows[2]["Observation duration by subject by observation"] == "2.000"
    assert None not in {key for row in rows for key in row}


def test_webvtt_is_read_by_a_player_library():
    webvtt = pytest.importorskip("webvtt", reason="webvtt-py is not installed")
    cues = list(webvtt.from_string(as_webvtt(VIDEOS[0])))
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [
        ("00:00:01.250", "00:00:03.500", "run 0.93"),
        ("00:00:02.000", "01:02:03.004", "sit 0.50"),
    ]
    text = as_webvtt(VIDEOS[1])
    assert text.count("-->") == 2  # that of a label is escaped
    assert next(iter(webvtt.from_string(text))).raw_text == 'a &amp; b &lt;i&gt;"x"&lt;/i&gt; --&gt; ü 0.75'
    assert not list(webvtt.from_string(as_webvtt(VIDEOS[2])))


def test_elan_is_read_by_pympi(tmp_path):
    pympi = pytest.importorskip("pympi", reason="pympi-ling is not installed")
    for number, video in enumerate(VIDEOS):
        path = tmp_path / f"{number}.eaf"
        path.write_text(as_elan(video), encoding="utf-8")
        found = pympi.Elan.Eaf(str(path))
        events = sorted(
            (start, end, value)
            for tier in found.get_tier_names()
            for start, end, value in found.get_annotation_data_for_tier(tier)
        )
        assert events == sorted(
            (round(e.start_s * 1000), round(e.end_s * 1000), f"{e.label} {e.probability:.2f}") for e in video.events
        )
        assert found.media_descriptors[0]["MEDIA_URL"] == f"file://{video.path}"


def test_elan_times_are_in_order_and_characters_xml_lacks_are_replaced():
    odd = VideoEvents("a", "/a.mp4", 9.0, 25.0, [Event("x\x00y", 1.0, 1.0002, 1.0)])
    root = ElementTree.fromstring(as_elan(odd, written=datetime(2026, 1, 2, tzinfo=UTC)))
    assert [slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")] == ["1000", "1001"]
    assert root.find("TIER").get("TIER_ID") == "x\ufffdy"
    assert root.get("DATE") == "2026-01-02T00:00:00+00:00"


def test_files_are_called_as_their_videos_and_never_leave_the_folder():
    names = [
        "a.mp4",
        "in/a.mp4",
        "b.mp4",
        "b.avi",
        "/abs/c.mp4",
        "../up/c.mp4",
        "../../d.mkv",
        "x.y.mp4",
        "s3://b/e.mp4",
    ]
    assert file_stems(names) == ["a", "in/a", "b.mp4", "b.avi", "c.mp4", "c.mp4-2", "d", "x.y", "e"]
