"""Scores of features, by hand-made features whose answers are known; sets and their splits; the oracle; statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.videos import write_barcode_video
from scipy import stats

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import read_folder, read_list
from rspnet.lab.study.comparisons import compare_runs, mean_of, paired_p
from rspnet.lab.study.oracle import ask_oracle, best_threshold, clip_energies, relative_accuracy, threshold_accuracy
from rspnet.lab.study.row_scores import score_task
from rspnet.lab.study.sets import Task, read_study_set, write_list

NAMES = ["red", "green", "blue"]


def write_csv(root: Path, rows: list[str], header: str = "file,class,who,split,size") -> Path:
    (root / "clips.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """30 training videos of 3 classes and 2 people, 6 test videos, one of them of an unknown person."""
    train = [f"a/{i}.avi,{NAMES[i % 3]},{'ann' if i % 2 else 'bob'},train,{i}" for i in range(30)]
    test = [f"b/{i}.avi,{NAMES[i % 3]},{'eve' if i == 5 else 'ann'},test,{10 * i}" for i in range(6)]
    return write_csv(tmp_path, train + test)


def read(root: Path, **changes):
    labels = {"colour": ["class"], "who": ["who"], "both": ["class", "who"], "size": ["size"]}
    return read_study_set(root, **{"videos": "file", "labels": labels, "bins": {"size": 3}, **changes})


def test_a_set_has_its_labels_its_split_and_a_stratified_validation_part(labelled: Path) -> None:
    videos = read(labelled)
    assert (len(videos.train), len(videos.test)) == (30, 6)
    assert videos.train[0].path == labelled / "a/0.avi"
    assert videos.tasks["colour"].classes == ("blue", "green", "red")
    assert videos.tasks["colour"].test.tolist() == [2, 1, 0, 2, 1, 0]
    assert videos.tasks["who"].test.tolist() == [0, 0, 0, 0, 0, -1]  # eve is in no training video
    assert videos.tasks["both"].classes[0] == "blue / ann"
    assert videos.tasks["both"].test[5] == -1
    assert np.bincount(videos.tasks["size"].train).tolist() == [10, 10, 10]
    assert videos.tasks["size"].test.tolist() == [0, 1, 2, 2, 2, 2]
    assert np.bincount(videos.tasks["colour"].train[videos.validation]).tolist() == [2, 2, 2]
    assert np.array_equal(read(labelled).validation, videos.validation)


def test_the_training_list_holds_no_test_video(labelled: Path, tmp_path: Path) -> None:
    videos = read(labelled)
    for record in videos.train:
        record.path.parent.mkdir(exist_ok=True)
        record.path.touch()
    write_list(tmp_path / "train.csv", videos.train)
    assert [record.path for record in read_list(tmp_path / "train.csv", labelled)] == [r.path for r in videos.train]


def test_a_small_part_keeps_several_videos_of_three_classes(labelled: Path) -> None:
    videos = read(labelled, most=6)
    assert np.bincount(videos.tasks["colour"].train).tolist() == [2, 2, 2]
    assert len(videos.test) == 6


def test_sets_that_do_not_serve_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RSPNetError, match=r"cannot read .*the data set is a folder"):
        read(tmp_path)
    with pytest.raises(RSPNetError, match="has no column 'who', which the study asks for"):
        read(write_csv(tmp_path, ["a,red,train,1"], "file,class,split,size"))
    with pytest.raises(RSPNetError, match="must hold both train and test"):
        read(write_csv(tmp_path, ["a,red,ann,train,1"]))


def test_features_that_hold_the_class_score_full_and_noise_scores_chance() -> None:
    rng = np.random.default_rng(0)
    labels, wanted = np.arange(120) % 4, np.arange(80) % 4
    wanted[:8] = -1
    task = Task(("a", "b", "c", "d"), labels, wanted)
    validation = np.arange(120) // 4 % 5 == 0
    noise = [rng.normal(size=(n, 8)).astype(np.float32) for n in (120, 80)]
    known = [np.eye(8, dtype=np.float32)[part] * 9 + own for part, own in zip((labels, wanted), noise, strict=True)]
    good = score_task(known[0], known[1], task, validation, seed=0)
    assert min(good.scores.values()) > 0.95
    assert good.hits["linear"].shape == good.hits["recall1"].shape == (72,)
    bad = score_task(noise[0], noise[1], task, validation, seed=0).scores
    assert all(value < 0.5 for name, value in bad.items() if name != "recall5")
    assert bad["recall5"] > bad["recall1"]


def test_nothing_of_the_test_part_reaches_the_validation_scores() -> None:
    rng = np.random.default_rng(1)
    train, test = (rng.normal(size=(n, 8)).astype(np.float32) for n in (60, 30))
    task = Task(("a", "b"), np.arange(60) % 2, np.arange(30) % 2)
    turned = Task(("a", "b"), task.train, 1 - task.test)
    first, second = (score_task(train, test, one, np.arange(60) % 5 == 0, seed=0).scores for one in (task, turned))
    tuned = ("linear_validation", "recall1_validation")
    assert [first[name] for name in tuned] == [second[name] for name in tuned]
    assert first["linear"] == pytest.approx(1 - second["linear"])


def test_oracle_by_hand() -> None:
    slow, fast = np.array([1.0, 2.0, 5.0]), np.array([3.0, 4.0, 6.0])
    assert best_threshold(slow, fast) == 3.0
    assert threshold_accuracy(slow, fast, 3.0) == pytest.approx((2 / 3 + 1) / 2)
    triples = np.array([[1.0, 1.1, 2.0], [5.0, 4.0, 5.5], [3.0, 2.0, 4.0]])  # near, far, equally far
    assert relative_accuracy(triples) == pytest.approx(1 / 3)


def test_oracle_on_videos(tmp_path: Path) -> None:
    for number in range(4):
        write_barcode_video(tmp_path / f"{number}.avi", 24, size=(64, 64), codec="mpeg4")
    records = read_folder(tmp_path)
    triples, slow, fast = clip_energies(records, speeds=[2], num_frames=4, size=64)
    assert triples.shape == (4, 3)
    assert (slow < fast).all()
    assert np.array_equal(triples[0], [triples[0, 0], slow[0], fast[0]])  # even videos play at speed 1, odd ones at 2
    assert np.array_equal(triples[1], [triples[1, 0], fast[1], slow[1]])
    found = ask_oracle(records, records, speeds=[2], num_frames=4, size=64)
    assert found["relative"] == found["relative_train"] == relative_accuracy(triples)
    assert found["absolute"] == threshold_accuracy(slow, fast, found["threshold"])
    assert found["videos"] == {"train": 4, "test": 4}


def test_intervals_and_paired_tests_are_those_of_scipy() -> None:
    values, other = [0.5, 0.6, 0.55], [0.4, 0.52, 0.5]
    mean = mean_of(values)
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (mean.low, mean.high) == pytest.approx(expected)
    assert paired_p(np.subtract(values, other).tolist()) == pytest.approx(stats.ttest_rel(values, other).pvalue)
    assert mean_of([0.5]).low is None
    assert paired_p([0.1]) is None
    assert paired_p([0.0, 0.0]) == 1.0
    assert paired_p([0.125, 0.125]) is None
    found = compare_runs(
        dict(enumerate(values)), dict(enumerate(other)) | {7: 0.1}, {0: "1110"}, {0: "0110", 1: "0000"}
    )
    assert found is not None
    assert found.over_seeds.value == pytest.approx(np.mean(values) - np.mean(other))
    assert found.over_seeds.count == 3
    assert found.over_videos is not None
    assert found.over_videos.value == pytest.approx(0.25)
    assert compare_runs({0: 0.1}, {1: 0.1}, {}, {}) is None
