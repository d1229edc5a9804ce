"""Few labels to a time line: `classify fit` and `classify run` on real files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.extras import need
from helpers.planted import SIDE, plan_events, write_events
from helpers.tiny_model import save_tiny_checkpoint

import rspnet
from rspnet.cli import main
from rspnet.features.event_labels import BACKGROUND, read_labels
from rspnet.features.store import FeatureWriter
from rspnet.features.timeline import Event
from rspnet.features.timeline_scores import segment_counts
from rspnet.features.window_classifier import CLASSIFIER, WindowClassifier

need("sklearn")
LABELLED = 5
WINDOW = ["--window_s=1", "--hop_s=0.5"]


def write_labels(path: Path, rows: list[tuple[str, str, int, int]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "start_s", "end_s"), *rows])
    return path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five labelled videos with an event of each class, an unlabelled one with 20 in other textures, a checkpoint."""
    root = tmp_path_factory.mktemp("material")
    (root / "labelled").mkdir()
    (root / "new").mkdir()
    rows = []
    for number in range(LABELLED):
        events = plan_events(2, seed=number)
        write_events(root / "labelled" / f"{number}.mp4", events, seed=number)
        rows += [(f"labelled/{number}.mp4", *event) for event in events]
    write_labels(root / "labels.csv", rows)
    events = plan_events(20, seed=7)
    write_events(root / "new" / "long.mp4", events, seed=7)
    write_labels(root / "truth.csv", [("new/long.mp4", *event) for event in events])
    save_tiny_checkpoint(root / "model.ckpt", num_frames=8, size=SIDE)
    words = ["embed", f"--weights={root / 'model.ckpt'}", str(root / "labelled"), f"--out={root / 'features'}", *WINDOW]
    assert main([*words, "--num_workers=0", "--precision=fp32"]) == 0
    return root


def fit(material: Path, out: Path, *more: str, labels: str = "labels.csv") -> int:
    words = ["classify", "fit", str(material / labels), f"--features={material / 'features'}", f"--out={out}"]
    return main([*words, *more])


@pytest.fixture(scope="module")
def classifier(material: Path) -> Path:
    assert fit(material, material / "classifier", "--background") == 0
    return material / "classifier"


def run(classifier: Path, source: Path, out: Path, *more: str) -> int:
    return main(["classify", "run", str(classifier), str(source), f"--out={out}", "--num_workers=0", *more])


def test_five_labels_a_class_find_twenty_events_of_a_new_video(
    material: Path, classifier: Path, tmp_path: Path
) -> None:
    assert run(classifier, material / "new", tmp_path / "out") == 0
    found = [Event(row.label, row.start_s, row.end_s) for row in read_labels(tmp_path / "out" / "events.csv")]
    true = [Event(row.label, row.start_s, row.end_s) for row in read_labels(material / "truth.csv")]
    counts = segment_counts(found, true, 0.5)
    assert counts.f1 >= 0.8, (counts, found, true)


def test_a_dry_run_says_what_it_costs_and_writes_nothing(
    material: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source, text in ((material / "new", "1 video to do, 0 unchanged"), (material / "features", "no video is read")):
        assert run(classifier, source, tmp_path / "out", "--dry_run") == 0
        said = capsys.readouterr().out
        assert text in said
        assert f"results: {tmp_path / 'out'}" in said
    assert not (tmp_path / "out").exists()


def test_the_result_has_scores_with_intervals_rules_and_notes(classifier: Path) -> None:
    result = json.loads((classifier / "result.json").read_text())
    protocol, results = result["protocol"], result["results"]
    assert (protocol["videos"], protocol["labels"], protocol["grouped_by"]) == (5, 10, "video")
    assert set(results["classes"]) == {"slide", "shake", BACKGROUND}
    for row in results["classes"].values():
        for kind in ("precision", "recall", "average_precision"):
            assert 0 <= row[kind]["low"] <= row[kind]["value"] <= row[kind]["high"] <= 1
    assert set(results["segments"]) == {"f1@0.1", "f1@0.25", "f1@0.5", "edit"}
    assert set(results["rules"]["slide"]) == {"high", "low", "gap_s", "least_s"}
    assert results["notes"] == []
    assert WindowClassifier.load(classifier / CLASSIFIER).names == ("shake", "slide", BACKGROUND)


def test_every_format_tells_the_same_events(
    material: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(classifier, material / "features", out) == 0
    assert "which labelled class fits best, not whether any does" in " ".join(capsys.readouterr().err.split())
    rows = read_labels(out / "events.csv")
    assert {row.path for row in rows} == {str(material / "labelled" / f"{n}.mp4") for n in range(LABELLED)}
    table = pq.read_table(out / "events.parquet").to_pylist()
    assert [(row["path"], row["label"], round(row["start_s"], 3)) for row in table] == [
        (row.path, row.label, row.start_s) for row in rows
    ]
    assert len(read_labels(out / "boris.tsv")) == len(rows)
    cues = sum((out / "subtitles" / f"{n}.vtt").read_text().count(" --> ") for n in range(LABELLED))
    marks = sum((out / "elan" / f"{n}.eaf").read_text().count("<ALIGNABLE_ANNOTATION") for n in range(LABELLED))
    assert cues == marks == len(rows) == (out / "timeline.html").read_text().count("<button")
    windows = pq.read_table(out / "windows.parquet")
    chances = np.stack([windows[f"p_{name}"].to_numpy() for name in ("shake", "slide", BACKGROUND)])
    np.testing.assert_allclose(chances.sum(axis=0), 1, rtol=1e-5)
    assert len(windows) == len(rspnet.read_features(material / "features"))
    assert json.loads((out / "result.json").read_text())["results"]["events"] == len(rows)


def test_events_that_were_corrected_are_labels_again(material: Path, classifier: Path, tmp_path: Path) -> None:
    assert run(classifier, material / "features", tmp_path / "out") == 0
    words = ["classify", "fit", str(tmp_path / "out" / "events.csv"), f"--features={material / 'features'}"]
    assert main([*words, f"--out={tmp_path / 'again'}", "--background"]) == 0


def test_a_stopped_run_goes_on_to_the_same_files(
    material: Path, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(classifier, material / "new", tmp_path / "straight") == 0
    own, left = FeatureWriter.add, [2]

    def stopped(self, *arguments, **options):
        own(self, *arguments, **options)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(FeatureWriter, "add", stopped)
    assert run(classifier, material / "new", tmp_path / "stopped") == 130
    assert not (tmp_path / "stopped" / "events.csv").exists()
    assert run(classifier, material / "new", tmp_path / "stopped") == 0
    for name in ("windows.parquet", "events.csv", "events.parquet", "boris.tsv", "subtitles/long.vtt"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("labelled/0.mp4", "a", 0, 2)], [], "one class only (a)"),
        ([("nowhere.mp4", "a", 0, 2)], ["--background"], "'nowhere.mp4': it has no features, and there is no"),
        ([("labelled/0.mp4", "a", 900, 902)], ["--background"], "starts at 900 s: the video ends at"),
        ([("labelled/0.mp4", "a", 0, 2)], ["--background", "--vectors=[features,features]"], "name each kind once"),
    ],
)
def test_labels_that_make_no_sense_are_refused(
    material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows, options, message
) -> None:
    write_labels(material / "bad.csv", rows)
    assert fit(material, tmp_path / "out", *options, labels="bad.csv") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_the_classifier_is_refused(
    material: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ["embed", f"--weights={material / 'model.ckpt'}", str(material / "labelled"), f"--out={tmp_path / 'other'}"]
    assert main([*other, "--window_s=2", "--num_workers=0", "--precision=fp32"]) == 0
    assert run(classifier, tmp_path / "other", tmp_path / "out") == 2
    assert "the classifier was fitted to features with hop_s 0.5, not 1.0" in capsys.readouterr().err
    save_tiny_checkpoint(tmp_path / "else.ckpt", seed=1, num_frames=8, size=SIDE)
    assert run(classifier, material / "new", tmp_path / "out", f"--weights={tmp_path / 'else.ckpt'}") == 2
    assert "the classifier was fitted to features of another checkpoint" in capsys.readouterr().err
    old = WindowClassifier.load(classifier / CLASSIFIER)
    view = {name: value for name, value in old.stamp.view.items() if name != "descriptor_rule"}
    replace(old, stamp=replace(old.stamp, view=view | {"descriptor": "mean_std_change"})).save(tmp_path / "old.npz")
    assert run(tmp_path / "old.npz", material / "new", tmp_path / "out") == 2
    assert "the classifier was fitted to features of another version of rspnet" in capsys.readouterr().err
    assert run(tmp_path / "nothing", material / "new", tmp_path / "out") == 2
    assert "is no classifier of rspnet classify fit" in capsys.readouterr().err


def test_labels_may_come_through_a_pipe(material: Path, classifier: Path, tmp_path: Path) -> None:
    """As `<(cat labels.csv)`; the hash is that of the labels that were used."""
    content = (material / "labels.csv").read_bytes()
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    words = ["classify", "fit", f"/dev/fd/{reading}", f"--features={material / 'features'}", f"--root={material}"]
    assert main([*words, f"--out={tmp_path / 'out'}", "--background"]) == 0
    os.close(reading)
    made, usual = (json.loads((folder / "result.json").read_text()) for folder in (tmp_path / "out", classifier))
    assert made["results"] == usual["results"]
    assert made["protocol"]["labels_sha256"] == hashlib.sha256(content).hexdigest()


def test_labels_given_twice_count_once_and_it_is_said(
    material: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (material / "labels.csv").read_text()
    twice = material / "twice.csv"
    twice.write_text(text + text.partition("\n")[2])
    assert fit(material, tmp_path / "twice", "--background", labels="twice.csv") == 0
    assert "10 labels joined to others of the same class" in " ".join(capsys.readouterr().err.split())
    folders = classifier, tmp_path / "twice"
    once, again = (json.loads((folder / "result.json").read_text())["results"] for folder in folders)
    assert again | {"notes": []} == once | {"notes": []}


def test_classes_that_share_moments_and_groups_that_folds_cannot_keep_are_named(
    material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_labels(material / "labels.csv")
    with (material / "shared.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "start_s", "end_s", "group"])
        table.writerows([row.path, row.label, row.start_s, row.end_s, "only"] for row in rows)
        table.writerows([row.path, "other", row.start_s, row.end_s, "only"] for row in (rows[0], rows[-1]))
    assert fit(material, tmp_path / "shared", labels="shared.csv") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "classes share moments (the first:" in said
    assert "a class is labelled in one group only: folds keep a video together, not a group" in said


def test_a_replaced_time_line_leaves_no_tracks_of_other_videos(
    material: Path, classifier: Path, tmp_path: Path
) -> None:
    assert run(classifier, material / "features", tmp_path / "out") == 0
    assert len(list((tmp_path / "out" / "subtitles").rglob("*.vtt"))) == LABELLED
    assert run(classifier, material / "new", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out" / "subtitles").rglob("*.vtt")] == ["long.vtt"]
    assert [path.name for path in (tmp_path / "out" / "elan").rglob("*.eaf")] == ["long.eaf"]


def test_damaged_features_are_named(
    material: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(material / "features", tmp_path / "features")
    for part in (tmp_path / "features").rglob("*.parquet"):
        if part.is_file():
            part.write_bytes(part.read_bytes()[:50])
    assert run(classifier, tmp_path / "features", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "holds no video" not in error
    assert str(tmp_path / "features") in error
