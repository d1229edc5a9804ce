from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clips_on_disk import listed, write_listed_videos
from helpers.extras import need
from helpers.narrow import NARROW
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main, parse
from rspnet.commands.probe import _is_drawn
from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.groups import groups_of, shared_groups
from rspnet.features.embedder import Embedder
from rspnet.features.feature_cache import FeatureCache
from rspnet.features.labelled_features import tensors_sha256
from rspnet.features.linear_probe import (
    PENALTIES,
    STRENGTHS,
    _fit_chosen,
    _ridges,
    draw_few,
    few_label_point,
    fit_linear,
    folds_of,
    nearest_scores,
)
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.predictions import read_predictions

need("sklearn")


def blobs(per_class: int, *, classes: int = 3, spread: float = 0.3, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = np.eye(classes, 6, dtype=np.float32) * 2
    labels = np.repeat(np.arange(classes), per_class)
    return (centres[labels] + rng.normal(scale=spread, size=(len(labels), 6))).astype(np.float32), labels


def test_linear_separates_blobs_and_ignores_test_labels():
    (x, labels), (y, truth) = blobs(12), blobs(20, seed=1)
    fit = fit_linear(x, labels, y, num_classes=4, folds=4, seed=0)
    assert (fit.scores[:, :3].argmax(axis=1) == truth).all()
    assert np.isneginf(fit.scores[:, 3]).all()
    assert fit.cross_validated == 1.0
    np.testing.assert_allclose(np.exp(fit.scores).sum(axis=1), 1, rtol=1e-6)


def by_hand(kind, strength, x, labels, asked):
    """Decisions of a classifier [N, C], the slow way."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, asked = (x - mean) / deviation, (asked - mean) / deviation
    if kind == "logistic":
        return LogisticRegression(C=strength, max_iter=2000).fit(x, labels).decision_function(asked)
    signs = np.where(labels[:, None] == np.unique(labels), 1.0, -1.0)
    weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ (signs - signs.mean(axis=0)))
    return asked @ weights + signs.mean(axis=0)


@pytest.mark.parametrize(("numbers", "wanted"), [(6, "logistic"), (120, "ridge")])
def test_the_classifier_is_the_best_of_a_cross_validation_by_hand(numbers, wanted):
    x, labels = blobs(12, spread=2.0, seed=3)
    rng = np.random.default_rng(1)
    if numbers > x.shape[1]:  # what all numbers share outweighs what sets classes apart
        x = np.concatenate([x, rng.normal(size=(len(x), numbers - x.shape[1]))], axis=1)
        x = (x + 6 * rng.normal(size=(len(x), 2)) @ rng.normal(size=(2, numbers))).astype(np.float32)
    fit = fit_linear(x, labels, x, num_classes=3, folds=3, seed=0)
    candidates = [("ridge", penalty) for penalty in PENALTIES] + [("logistic", strength) for strength in STRENGTHS]
    found = []
    for kind, strength in candidates:
        right = []
        for train, test in folds_of(labels, None, folds=3, seed=0):
            right.append(
                (by_hand(kind, strength, x[train], labels[train], x[test]).argmax(axis=1) == labels[test]).mean()
            )
        found.append(np.mean(right))
    assert len(set(found)) > 1
    assert (fit.classifier, fit.strength) == candidates[int(np.argmax(found))]
    assert fit.classifier == wanted
    assert fit.cross_validated == pytest.approx(max(found))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_scores_of_a_ridge_classifier_are_its_decisions_made_as_sure_as_they_are_right(classes):
    rng = np.random.default_rng(0)
    labels, truth = np.repeat(np.arange(classes), 40), np.arange(4000) % classes
    shared = 6 * rng.normal(size=(2, 200))

    def drawn(known):
        own = rng.normal(size=(len(known), 200)) + 2.5 * np.eye(classes, 200)[known]
        return (own + rng.normal(size=(len(known), 2)) @ shared).astype(np.float32)

    x, y = drawn(labels), drawn(truth)
    fit = _fit_chosen(
        x, labels, y, num_classes=classes, splits=folds_of(labels, None, folds=5, seed=0), candidates=[_ridges()]
    )
    assert fit.classifier == "ridge"
    decisions = by_hand("ridge", fit.strength, x, labels, y)
    logits = fit.scores - fit.scores.mean(axis=1, keepdims=True)
    centred = decisions - decisions.mean(axis=1, keepdims=True)
    slope = (logits * centred).sum() / np.square(centred).sum()
    np.testing.assert_allclose(logits, slope * centred, atol=1e-2 * slope)
    said, right = np.exp(fit.scores).max(axis=1).mean(), (fit.scores.argmax(axis=1) == truth).mean()
    assert 0.6 < right < 0.99
    assert said == pytest.approx(right, abs=0.06)


def test_a_single_video_a_class_needs_no_cross_validation():
    x, labels = blobs(1)
    assert fit_linear(x, labels, x, num_classes=3, folds=5, seed=0).cross_validated is None


def test_where_no_fold_can_tell_classes_apart_there_is_no_cross_validation():
    labels = np.array([0, 0, 0, 0, 0, 1])
    assert folds_of(labels, None, folds=5, seed=0) is None  # one class would be tested
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    assert fit_linear(x, labels, x, num_classes=2, folds=5, seed=0).classifier == "logistic"
    labels, groups = np.array([0, 1, 0, 1]), ["c", "c", "b", "a"]  # one of two folds would learn from b alone
    (fold,) = folds_of(labels, groups, folds=2, seed=0)
    assert set(labels[fold[0]].tolist()) == {0, 1}


def test_a_class_with_a_single_video_is_learned_from_in_every_fold_and_tested_in_none():
    x, labels = blobs(6, spread=2.0)
    labels[labels == 2] = np.where(np.arange(6) == 0, 2, 1)
    folds = folds_of(labels, None, folds=5, seed=0)
    lonely = int(np.flatnonzero(labels == 2)[0])
    assert len(folds) == 5
    assert all(lonely in learned and lonely not in tested for learned, tested in folds)
    assert sorted(np.concatenate([tested for _, tested in folds])) == sorted(set(range(18)) - {lonely})
    assert all(set(learned) | set(tested) == set(range(18)) for learned, tested in folds)
    assert fit_linear(x, labels, x, num_classes=3, folds=5, seed=0).cross_validated is not None


def test_a_group_is_never_on_both_sides_of_a_fold_even_where_a_class_has_a_single_group():
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    groups = ["a", "b", "c", "a", "b", "c", "a"]
    folds = folds_of(labels, groups, folds=5, seed=0)
    assert len(folds) == 3
    for learned, tested in folds:
        assert not {groups[place] for place in learned} & {groups[place] for place in tested}
    assert sum(6 in learned for learned, _ in folds) == 2


def test_one_thread_fits(monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_info, threadpool_limits

    seen = []

    def fit(self, *arguments, **options):
        seen.append({pool["num_threads"] for pool in threadpool_info()})
        return real(self, *arguments, **options)

    real = LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", fit)
    x, labels = blobs(1)
    with threadpool_limits(limits=2):
        fit_linear(x, labels, x, num_classes=3, folds=2, seed=0)
        assert seen == [{1}]
        assert {pool["num_threads"] for pool in threadpool_info()} == {2}


def test_groups_stay_together():
    records = [VideoRecord(Path(f"v_A_g{g:02d}_c{c:02d}.avi"), "x", 0) for g in (1, 2) for c in (1, 2)]
    assert groups_of(records) == ["0-g01", "0-g01", "0-g02", "0-g02"]
    assert groups_of([*records, VideoRecord(Path("other.avi"), "x", 0)]) is None
    # Labels are random, but equal within a group: only leaking a group over both sides would predict them.
    rng = np.random.default_rng(0)
    groups = [f"{g}" for g in range(24) for _ in range(4)]
    x = rng.normal(size=(24, 8)).repeat(4, axis=0).astype(np.float32)
    labels = np.tile([0, 1], 12).repeat(4)
    honest = fit_linear(x, labels, x, num_classes=2, folds=4, seed=0, groups=groups).cross_validated
    leaking = fit_linear(x, labels, x, num_classes=2, folds=4, seed=0).cross_validated
    assert honest is not None
    assert leaking is not None
    assert honest < 0.75
    assert leaking > honest + 0.1


def test_nearest_votes_equal_a_loop():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(n, 5)).astype(np.float32) for n in (20, 7))
    labels = rng.integers(4, size=20)
    found = nearest_scores(x, labels, y, num_classes=4, neighbours=6, temperature=0.2)
    for row, query in zip(found, y, strict=True):
        cosines = [float(query @ item / np.linalg.norm(query) / np.linalg.norm(item)) for item in x]
        expected = np.zeros(4)
        for place in sorted(range(20), key=lambda i: -cosines[i])[:6]:
            expected[labels[place]] += np.exp(cosines[place] / 0.2)
        np.testing.assert_allclose(row / row.sum(), expected / expected.sum(), rtol=1e-4)


def test_few_labels_are_nested_and_drawn_anew():
    labels = np.repeat([0, 1, 5], 10)
    small, large, other = (draw_few(labels, n, seed=0, draw=d) for n, d in ((2, 0), (5, 0), (2, 1)))
    assert set(small) < set(large)
    assert sorted(labels[small]) == [0, 0, 1, 1, 5, 5]
    assert small.tolist() != other.tolist()
    (x, marks), (y, truth) = blobs(10), blobs(10, seed=1)
    point = few_label_point(x, marks, y, truth, count=2, draws=3, seed=0)
    assert len(point.draws) == 3
    assert point.low <= point.mean <= point.high
    assert point.mean == pytest.approx(np.mean(point.draws))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = write_listed_videos(tmp_path_factory.mktemp("set"))
    save_tiny_checkpoint(root / "model.ckpt")
    return root


def words_of(root: Path, out: Path) -> list[str]:
    words = [str(root / "model.ckpt"), *listed(root)]
    fixed = [f"--out={out}", f"--cache={out.parent / 'cache'}", "--num_workers=0", "--num_clips=2"]
    return [*words, *fixed, "--precision=fp32", "--few_labels=[1,1000]"]


def run(root: Path, out: Path, *options: str) -> dict:
    assert main(["probe", *words_of(root, out), *options]) == 0
    return json.loads((out / "result.json").read_text())


def test_command(videos, tmp_path, monkeypatch, capsys):
    result = run(videos, tmp_path / "run")
    advice = re.search(r"next: rspnet probe (.*--random_init.*?)    #", capsys.readouterr().err)[1]
    own = parse("probe", words_of(videos, tmp_path / "run"))
    assert parse("probe", shlex.split(advice)) == replace(own, random_init=True, out=f"{tmp_path / 'run'}-random")
    scores = result["results"]["scores"]
    assert set(scores) == {f"{a}_{b}" for a in ("linear", "knn") for b in ("top1", "top5", "mean_class_accuracy")}
    assert all(row["low"] <= row["value"] <= row["high"] for row in scores.values())
    assert list(result["results"]["few_labels"]) == ["1"]
    assert result["results"]["few_labels_left_out"] == [1000]
    hits = read_predictions(tmp_path / "run" / result["results"]["predictions"], ["name", "linear_top1", "knn_top5"])
    assert len(hits["name"]) == result["protocol"]["test_videos"]
    assert hits["linear_top1"].mean() == pytest.approx(scores["linear_top1"]["value"])
    for name in ("confusion.png", "few_labels.png", "config.yaml"):
        assert (tmp_path / "run" / name).stat().st_size > 0

    def no_network(*_args):
        raise AssertionError("features must come from the cache")

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "stream_clips", no_network)
        assert run(videos, tmp_path / "again")["results"] == result["results"]
    control = run(videos, tmp_path / "control", "--random_init")
    assert control["protocol"]["random_init"]
    assert control["protocol"]["tensors_sha256"] != result["protocol"]["tensors_sha256"]


def test_foreign_weights_are_probed_without_conversion(videos, tmp_path):
    """A state dict under a prefix, with the weights of the checkpoint but RGB input: its own features, its own hash."""
    backbone = load_pretrained(videos / "model.ckpt").backbone
    torch.save({f"module.encoder_q.{key}": value for key, value in backbone.state_dict().items()}, tmp_path / "x.pth")
    words = [
        str(tmp_path / "x.pth"),
        f"--data.root={videos}",
        "--data.kind=csv",
        f"--data.list={videos / 'labels.csv'}",
    ]
    view = ["--num_frames=4", "--size=32", "--num_clips=1", "--num_workers=0", "--few_labels=[]", "--precision=fp32"]
    assert main(["probe", *words, *view, f"--out={tmp_path / 'run'}", f"--cache={tmp_path / 'cache'}"]) == 0
    stamp = json.loads((tmp_path / "run" / "result.json").read_text())["protocol"]
    assert (stamp["backbone"], stamp["input"]) == (NARROW, "rgb")
    assert stamp["tensors_sha256"] == tensors_sha256(backbone)


@pytest.mark.parametrize("command", ["probe", "retrieve"])
def test_a_dry_run_says_what_the_features_cost_and_writes_nothing(command, videos, tmp_path, capsys):
    out, cache = tmp_path / "out", tmp_path / "cache"
    words = [command, *listed(videos), f"--weights={videos / 'model.ckpt'}", f"--out={out}", f"--cache={cache}"]
    assert main([*words, "--num_clips=1", "--num_workers=0", "--dry_run"]) == 0
    said = capsys.readouterr().out
    counts = ["24"] if command == "probe" else ["18", "6"]
    assert re.findall(r"(\d+) videos to do, 0 from the cache: about \d+ s on the CPU", said) == counts
    assert f"results: {out}" in said
    assert ("left out: 10 labels a class" in said) == (command == "probe")
    assert list(tmp_path.iterdir()) == []


def test_one_readable_class_and_weights_that_are_not_finite(videos, tmp_path, capsys):
    with pytest.raises(RSPNetError, match=r"the training videos that could be read \(4\) are of one class"):
        fit_linear(
            np.ones((4, 3), np.float32),
            np.zeros(4, np.int64),
            np.ones((1, 3), np.float32),
            num_classes=2,
            folds=2,
            seed=0,
        )
    state = load_pretrained(videos / "model.ckpt").backbone.state_dict()
    next(iter(state.values()))[0] = torch.nan
    torch.save(state, tmp_path / "x.pth")
    for command in (["probe", *listed(videos)], ["retrieve", *listed(videos)], ["embed", str(videos)]):
        assert main([command[0], f"--weights={tmp_path / 'x.pth'}", *command[1:], f"--out={tmp_path / 'run'}"]) == 2
        error = capsys.readouterr().err
        assert "NaN or infinity in 1 tensor" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_features_that_are_not_finite_are_skipped_and_not_taken_from_the_cache(videos, tmp_path, monkeypatch):
    encode = Embedder.encode
    monkeypatch.setattr(Embedder, "encode", lambda self, clips: tuple(part * np.nan for part in encode(self, clips)))
    records = [VideoRecord(path, path.name) for path in sorted(videos.rglob("*.mp4"))[:2]]
    embedder = Embedder(videos / "model.ckpt", num_clips=1, precision="fp32", device="cpu")
    assert [type(item).__name__ for item in embedder.stream(records)] == ["Skip", "Skip"]
    cache = FeatureCache(tmp_path, tensors_sha256="x", view={})
    cache.put(records[0].path, np.array([1, np.nan], np.float32))
    assert cache.get(records[0].path) is None


def test_few_labels_are_drawn_where_draws_can_differ():
    assert [count for count in (1, 4, 5, 6) if _is_drawn(count, np.repeat([0, 1], [5, 5]))] == [1, 4]
    assert [count for count in (1, 4, 5, 6) if _is_drawn(count, np.repeat([0, 1], [5, 6]))] == [1, 4, 5]


def test_groups_on_both_sides_are_counted():
    def of(*names: str) -> list[VideoRecord]:
        return [VideoRecord(Path(f"v_{name}.avi"), name, 0) for name in names]

    train = of("Bow_g01_c01", "Bow_g02_c01")
    assert shared_groups(train, of("Bow_g03_c01", "Bow_g04_c02")) == ""
    assert shared_groups(train, of("other")) == ""
    assert shared_groups(train, of("Bow_g02_c07", "Bow_g04_c02")).startswith("1 test video of 2 are of groups")
