"""Searching a library by a trained class: `rspnet search --class`."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest
from helpers.extras import need
from helpers.served import make_library

from rspnet.cli import main
from rspnet.features.read import StoredVideo, read_features
from rspnet.features.store import Stamp
from rspnet.features.timeline import Rule
from rspnet.features.window_classifier import CLASSIFIER, WindowClassifier, open_window_classifier
from rspnet.search.class_search import class_hits, library_windows, stamp_of_library
from rspnet.search.library import Library

need("lancedb", "sklearn")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A library, features of its videos with the same windows, and a classifier fitted to these."""
    root = tmp_path_factory.mktemp("classes")
    make_library(root)
    (root / "videos" / "second" / "unreadable.mp4").unlink()
    embed = ["embed", f"--weights={root / 'model.ckpt'}", str(root / "videos"), f"--out={root / 'features'}"]
    assert main([*embed, "--window_s=1", "--hop_s=0.5", "--num_workers=0", "--precision=fp32"]) == 0
    rows = [f"videos/second/{name},{label},0,2" for name, label in (("long.mp4", "wave"), ("d.mp4", "turn"))]
    rows += [f"videos/first/{name},{label},0.5,2" for name, label in (("one/a.mp4", "wave"), ("c.mp4", "turn"))]
    (root / "labels.csv").write_text("\n".join(["path,label,start_s,end_s", *rows]))
    words = ["classify", "fit", str(root / "labels.csv"), f"--features={root / 'features'}", "--background"]
    assert main([*words, f"--out={root / 'classifier'}", "--vectors=[features,motion]"]) == 0
    return root


@pytest.mark.slow
def test_a_librarys_vectors_are_those_of_embed_with_the_same_windows(root):
    library = Library(str(root / "library"))
    stored = read_features(root / "features")
    stamp = stamp_of_library(library)
    assert stored.stamp is not None
    assert stamp.difference(stored.stamp) == ""
    kinds = ("features", "motion", "appearance")
    videos = {video.path: video for video in library_windows(library.store, kinds, lambda vectors: vectors)}
    assert sorted(videos) == sorted(set(stored.table["path"].to_pylist()))
    for path, video in videos.items():
        rows = [place for place, other in enumerate(stored.table["path"].to_pylist()) if other == path]
        wanted = np.concatenate([getattr(stored, kind)[rows] for kind in kinds], axis=1)
        np.testing.assert_allclose(video.values, wanted, atol=2e-5)
        np.testing.assert_array_equal(video.start_s, stored.table["start_s"].to_numpy()[rows])


def test_the_command_finds_what_classify_run_finds(root, tmp_path, capsys):
    run = ["classify", "run", str(root / "classifier"), str(root / "features"), f"--out={tmp_path / 'timeline'}"]
    assert main(run) == 0
    with (tmp_path / "timeline" / "events.csv").open() as file:
        events = {(row["path"], float(row["start_s"])) for row in csv.DictReader(file) if row["label"] == "wave"}
    capsys.readouterr()
    words = ["search", str(root / "library"), "--class", f"{root / 'classifier'}:wave", "--top", "6"]
    assert main([*words, f"--out={tmp_path / 'hits.json'}"]) == 0
    assert "wave" in capsys.readouterr().out
    hits = json.loads((tmp_path / "hits.json").read_text())["hits"]
    assert {(hit["path"], round(hit["start_s"], 3)) for hit in hits if hit["is_event"]} <= events
    assert sum(hit["is_event"] for hit in hits) == min(6, len(events)) > 0
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert main([*words, "--top=1", f"--out={tmp_path / 'hits.png'}"]) == 0
    height, width = matplotlib.image.imread(tmp_path / "hits.png").shape[:2]
    assert height > 200
    assert width < 600  # one hit, no query


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--class", "{root}/classifier:jump"], "the classifier has no class 'jump': it has turn, wave"),
        (["--class", "{root}/nowhere:jump"], "is no classifier of rspnet classify fit"),
        (
            ["--class", "{root}/classifier", "x.mp4"],
            "queries: name at least one video, or a trained class with --class",
        ),
        (["--class", "{root}/classifier", "--alpha", "1"], "--alpha: is for queries, not for --class"),
        (["--class", "{root}/classifier", "--unlike", "x.mp4"], "--unlike: is for queries, not for --class"),
        ([], "queries: name at least one video, or a trained class with --class"),
        (["a.mp4", "b.mp4", "--start=1"], "--start, --end: are for a single query; give parts as VIDEO@START-END"),
        (["{root}/videos/first/c.mp4@1-2", "--start=0.5"], "c.mp4@1-2' names its part already; give one of the two"),
    ],
)
def test_bad_input_is_one_line(root, capsys, words, message):
    assert main(["search", str(root / "library"), *(word.format(root=root) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_classifier_of_other_windows_is_refused_by_name(root, tmp_path, capsys):
    shutil.copytree(root / "classifier", tmp_path / "other")
    classifier = WindowClassifier.load(tmp_path / "other" / CLASSIFIER)
    stamp = Stamp(**{**vars(classifier.stamp), "view": {**classifier.stamp.view, "window_s": 3.0}})
    WindowClassifier(**{**vars(classifier), "stamp": stamp}).save(tmp_path / "other" / CLASSIFIER)
    assert main(["search", str(root / "library"), "--class", str(tmp_path / "other")]) == 2
    assert "the classifier was fitted to features with window_s 3.0, not 1.0 as in" in capsys.readouterr().err


@pytest.mark.slow
def test_several_queries_and_unwanted_ones_from_the_command_line(root, tmp_path):
    videos = root / "videos"
    wanted = [str(videos / "first" / "c.mp4"), f"{videos}/second/long.mp4@0-3"]
    words = ["search", str(root / "library"), "--alpha", "1", *wanted, "--out", str(tmp_path / "hits.json")]
    assert main(words) == 0
    found = json.loads((tmp_path / "hits.json").read_text())
    assert found["queries"] == wanted
    scores = {hit["path"]: hit["score"] for hit in found["hits"]}
    assert wanted[0] not in scores  # what a query shows is no hit
    unwanted = str(videos / "first" / "one" / "b.avi")
    assert main([*words, "--unlike", unwanted]) == 0
    lower = {hit["path"]: hit["score"] for hit in json.loads((tmp_path / "hits.json").read_text())["hits"]}
    assert scores[unwanted] - lower[unwanted] == pytest.approx(1, abs=1e-4)
    part = ["search", str(root / "library"), f"{videos}/second/long.mp4@0.5-3", "--out", str(tmp_path / "part.json")]
    assert main(part) == 0
    found = json.loads((tmp_path / "part.json").read_text())
    assert (found["start"], found["end"]) == (0.5, 3)


def linear(rule: Rule) -> WindowClassifier:
    stamp = Stamp("0", {}, {"features": 1})
    return WindowClassifier(("a",), False, np.ones((1, 1)), np.zeros(1), (rule,), ("features",), stamp)


def test_moments_are_events_first_and_windows_where_there_are_too_few():
    start = np.arange(8) * 0.5
    chances = np.array([0.1, 0.8, 0.9, 0.2, 0.05, 0.3, 0.4, 0.1])
    video = StoredVideo("v", "v", 10.0, start, start + 1, chances[:, None])
    hits = class_hits([video], linear(Rule()), "a", k=4)
    assert [(hit.start_s, hit.end_s, hit.is_event) for hit in hits[:2]] == [(0.75, 1.75, True), (3.0, 4.0, False)]
    assert hits[0].score == pytest.approx(0.85)
    for one, other in pairwise(hits):
        assert one.score >= other.score
    spans = sorted((hit.start_s, hit.end_s) for hit in hits)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_long_events_hide_no_other_moments():
    start = np.arange(60) * 0.5
    chances = np.where(np.arange(60) < 30, 0.9, 0.2 + np.arange(60) / 1000)
    video = StoredVideo("v", "v", 10.0, start, start + 1, chances[:, None])
    everything = class_hits([video], linear(Rule()), "a", k=30)
    assert [hit.is_event for hit in everything].count(True) == 1
    assert len(everything) > 14  # every second window of the rest
    for k in range(1, 15):
        assert class_hits([video], linear(Rule()), "a", k=k) == everything[:k]


def test_the_class_after_the_last_colon(root):
    classifier, label = open_window_classifier(str(root / "classifier"))
    assert label == "turn"
    assert set(classifier.names) == {"turn", "wave", "background"}
    assert open_window_classifier(f"{root / 'classifier' / CLASSIFIER}:wave")[1] == "wave"
