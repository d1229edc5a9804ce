"""The classifier of windows: what it learns, how sure it is, what it leaves in its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.extras import need

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.features import linear_maps, window_fit, window_scores
from rspnet.features.calibration import calibrate, log_loss
from rspnet.features.event_labels import BACKGROUND, Label
from rspnet.features.linear_maps import LinearMaps
from rspnet.features.store import Stamp
from rspnet.features.timeline import Rule
from rspnet.features.window_classifier import WindowClassifier, chances
from rspnet.features.window_fit import LabelledVideo, choose_rules, fit_windows
from rspnet.features.window_scores import class_scores, segment_scores, too_little

need("sklearn")
STAMP = Stamp("ab", {"window_s": 2.0}, {"features": 8})


def video(name, events, *, seconds=60, seed=0, spread=0.6, labelled=None):
    """A video of `seconds` whose windows of 2 s point where their events say: (class, start, end)."""
    rng = np.random.default_rng([seed, *name.encode()])
    starts = np.arange(0.0, seconds - 1)
    middles = starts + 1
    vectors = rng.standard_normal((len(starts), 8)) * spread
    for number, (_, start, end) in enumerate(events):
        inside = (middles >= start) & (middles <= end)
        vectors[inside, {"a": 0, "b": 1}[events[number][0]]] += 3
    labels = [Label(name, *event) for event in events[:labelled]]
    return LabelledVideo(name, starts, starts + 2, vectors.astype(np.float32), labels)


EVENTS = [("a", 5.0, 11.0), ("b", 20.0, 26.0), ("a", 32.0, 38.0), ("b", 45.0, 51.0)]


def classifier_of(fitted, rules=None):
    rules = rules or [Rule()] * len(fitted.names)
    return WindowClassifier(
        fitted.names, fitted.exclusive, fitted.weights, fitted.bias, tuple(rules), ("features",), STAMP
    )


def test_few_labels_find_the_events_of_a_new_video():
    videos = [video(f"{n}", EVENTS, seed=n) for n in range(3)]
    fitted = fit_windows(videos, background=True, folds=5, seed=0)
    assert fitted.names == ("a", "b", BACKGROUND)
    assert (fitted.exclusive, fitted.grouped_by) == (True, "video")
    rules = choose_rules(videos, fitted.names, fitted.held_out)
    new = video("new", [("b", 10.0, 16.0), ("a", 30.0, 36.0)], seed=9)
    found = classifier_of(fitted, rules)
    events = found.events(new.start_s, new.end_s, found.probabilities(new.vectors))
    assert [event.label for event in events] == ["b", "a"]
    for event, (_, start, end) in zip(events, [("b", 10, 16), ("a", 30, 36)], strict=True):
        assert event.start_s == pytest.approx(start, abs=1.1)
        assert event.end_s == pytest.approx(end, abs=1.1)
    scores = segment_scores(videos, fitted, rules, seed=0)
    assert scores["f1@0.5"]["value"] > 0.9
    assert class_scores(fitted, seed=0)["a"]["average_precision"]["value"] > 0.95


def test_held_out_chances_are_of_maps_that_never_saw_the_group():
    """A twin that fits every fold by hand; and vectors that only name their video must be worth nothing."""
    videos = []
    for number in range(6):
        starts = np.arange(0.0, 20.0)
        vectors = np.zeros((20, 8), np.float32)
        vectors[:, number] = 1.0
        label = "a" if number % 2 else "b"
        videos.append(LabelledVideo(str(number), starts, starts + 2, vectors, [Label(str(number), label)]))
    fitted = fit_windows(videos, background=False, folds=3, seed=0)
    inside = classifier_of(fitted).probabilities(np.concatenate([v.vectors for v in videos]))
    truth = np.concatenate([t.holds for t in fitted.truths])
    assert fitted.grouped_by == "video"
    assert log_loss(np.log(fitted.held_out), truth, exclusive=True) >= np.log(2) - 0.05
    assert (inside.argmax(axis=1) == truth.argmax(axis=1)).mean() >= 0.5


def test_groups_of_labels_stay_together():
    videos = []
    for number in range(6):
        one = video(f"{number}", EVENTS, seed=number)
        videos.append(replace(one, labels=[replace(row, group=f"cage {number // 2}") for row in one.labels]))
    fitted = fit_windows(videos, background=True, folds=5, seed=0)
    assert fitted.grouped_by == "group"
    assert len(set(fitted.units)) == 3
    mixed = [videos[0], video("x", EVENTS)]
    with pytest.raises(ConfigError, match="has no group, others have"):
        fit_windows(mixed, background=True, folds=5, seed=0)


def test_one_video_is_judged_by_stretches_and_says_so():
    one = [video("v", EVENTS)]
    fitted = fit_windows(one, background=True, folds=5, seed=0)
    assert fitted.grouped_by == "stretch"
    texts = too_little(one, fitted)
    assert any("class 'a' has 2 labels: too few" in text for text in texts)
    assert any("other moments of the same videos" in text for text in texts)


@pytest.mark.slow
def test_what_nobody_labelled_yet_does_not_become_background(monkeypatch):
    """Half of the events are labelled: leaving out what looks like them makes the classes surer in a new video."""
    videos = [video(f"{n}", EVENTS, seed=n, labelled=2 + n % 2) for n in range(4)]
    new = video("new", EVENTS, seed=11)
    middles = new.start_s + 1
    sure = []
    for suspect in (window_fit._SUSPECT, 2.0):
        monkeypatch.setattr(window_fit, "_SUSPECT", suspect)
        fitted = fit_windows(videos, background=True, folds=4, seed=0)
        assert (fitted.suspects > 5) == (suspect < 1)
        p = classifier_of(fitted).probabilities(new.vectors)
        inside = [(middles >= start) & (middles <= end) for _, start, end in EVENTS]
        sure.append(float(np.mean([p[at, "ab".index(e[0])].mean() for at, e in zip(inside, EVENTS, strict=True)])))
    assert sure[0] > sure[1] + 0.1


def test_classes_that_hold_together_are_judged_each_for_itself():
    events = [("a", 5.0, 15.0), ("b", 10.0, 20.0), ("a", 30.0, 36.0), ("b", 44.0, 50.0)]
    videos = [video(f"{n}", events, seed=n) for n in range(4)]
    fitted = fit_windows(videos, background=True, folds=4, seed=0)
    assert (fitted.exclusive, fitted.names) == (False, ("a", "b"))
    found = classifier_of(fitted)
    new = video("new", [("a", 5.0, 25.0), ("b", 15.0, 35.0)], seed=12)
    p = found.probabilities(new.vectors)
    middles = new.start_s + 1
    both = (middles > 16) & (middles < 24)
    assert (p[both] > 0.5).all()
    assert p[middles > 40].max() < 0.5


def test_too_few_classes_or_windows_are_refused():
    with pytest.raises(ConfigError, match=r"one class only \(a\): label another one, or draw a background"):
        fit_windows([video("v", EVENTS[:1])], background=False, folds=5, seed=0)
    full = LabelledVideo("v", np.array([0.0]), np.array([2.0]), np.ones((1, 8)), [Label("v", "a", 0.0, 2.0)])
    with pytest.raises(ConfigError, match="no window of the labelled videos is free of labels"):
        fit_windows([full], background=True, folds=5, seed=0)
    never = LabelledVideo("v", np.array([0.0]), np.array([2.0]), np.ones((1, 8)), [Label("v", "a", 50.0, 51.0)])
    with pytest.raises(ConfigError, match="class 'a': no window lies in its labels"):
        fit_windows([never], background=True, folds=5, seed=0)


def test_few_windows_that_are_all_right_do_not_make_it_certain():
    rng = np.random.default_rng(0)
    holds = np.repeat(np.eye(2, dtype=bool), 8, axis=0)
    logits = np.where(holds, 1.0, -1.0) + 0.1 * rng.normal(size=holds.shape)
    slope, _ = calibrate(logits, holds, exclusive=True)
    assert slope[0] == pytest.approx(np.exp(2), rel=0.01)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("at_once", [linear_maps._MOST_AT_ONCE, 0])
@pytest.mark.parametrize(("classes", "numbers"), [(2, 5), (3, 5), (3, 50)])  # by vectors, and by their products
def test_linear_maps_are_those_of_scikit_learns_pipeline(monkeypatch, exclusive, at_once, classes, numbers):
    """Of all rows and of parts of them, at once or in turn; a part may have one class only, or none of one."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    monkeypatch.setattr(linear_maps, "_MOST_AT_ONCE", at_once)
    rng = np.random.default_rng(classes)
    x = rng.standard_normal((60, numbers)) * rng.uniform(0.1, 10, numbers) + 4
    labels = rng.integers(0, classes, 60)
    x[:, 0] += labels
    holds = labels[:, None] == np.arange(classes)
    z = StandardScaler().fit_transform(x)
    rows = np.array([np.ones(60, bool), labels > 0])
    maps, start = LinearMaps(x, holds, exclusive=exclusive), None
    for strength in (0.01, 0.1):
        start = maps.fit(strength, rows, start=start, tolerance=1e-6)  # the second is started elsewhere
        for number, own in enumerate(rows):
            weights, bias = maps.of_vectors(start, number)
            np.testing.assert_allclose(start.logits[:, number] + start.bias[number], x @ weights.T + bias, atol=2e-4)
            ours = chances(x @ weights.T + bias, exclusive=exclusive)
            for target in [labels] if exclusive else holds.T.astype(int):
                known = np.unique(target[own])
                theirs = np.ones((60, 1))
                if len(known) > 1:
                    theirs = LogisticRegression(C=strength, tol=1e-7).fit(z[own], target[own])
                    theirs = theirs.predict_proba(z)
                if exclusive:
                    wanted = np.zeros((60, classes))
                    wanted[:, known] = theirs
                    np.testing.assert_allclose(ours, wanted, atol=1e-4)
                elif len(known) > 1:
                    place = next(n for n in range(classes) if (holds[:, n] == target).all())
                    np.testing.assert_allclose(ours[:, place], theirs[:, 1], atol=1e-4)


@pytest.mark.parametrize("exclusive", [True, False])
def test_calibration_is_the_best_of_its_neighbours_and_undoes_overconfidence(exclusive):
    rng = np.random.default_rng(0)
    honest = rng.standard_normal((4000, 3)) * 1.5
    p = chances(honest, exclusive=exclusive)
    holds = rng.random((4000, 1)) < np.cumsum(p, axis=1) if exclusive else rng.random((4000, 3)) < p
    if exclusive:
        holds = holds & ~np.pad(holds, ((0, 0), (1, 0)))[:, :3]
    slope, shift = calibrate(honest * 4, holds, exclusive=exclusive)
    np.testing.assert_allclose(slope, 0.25, rtol=0.1)
    np.testing.assert_allclose(shift, 0, atol=0.1)
    best = log_loss(honest * 4 * slope + shift, holds, exclusive=exclusive)
    for change in (0.9, 1.1):
        assert log_loss(honest * 4 * slope * change + shift, holds, exclusive=exclusive) > best


def test_log_loss_is_the_mean_of_minus_log_chances():
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((20, 4)) * 5
    holds = rng.integers(0, 4, 20)[:, None] == np.arange(4)
    p = chances(logits, exclusive=True)
    assert log_loss(logits, holds, exclusive=True) == pytest.approx(-np.log(p[holds]).mean())
    q = chances(logits, exclusive=False)
    assert log_loss(logits, holds, exclusive=False) == pytest.approx(-np.log(np.where(holds, q, 1 - q)).mean())


def test_the_file_gives_the_classifier_back_and_runs_nothing(tmp_path):
    fitted = fit_windows([video(f"{n}", EVENTS, seed=n) for n in range(2)], background=True, folds=2, seed=0)
    one = classifier_of(fitted, [Rule(0.7, 0.3, 1.0, 2.0)] * 3)
    one.save(tmp_path / "classifier.npz")
    other = WindowClassifier.load(tmp_path / "classifier.npz")
    assert (other.names, other.exclusive, other.rules, other.stamp) == (one.names, one.exclusive, one.rules, STAMP)
    np.testing.assert_array_equal(other.weights, one.weights)
    with np.load(tmp_path / "classifier.npz", allow_pickle=False) as content:
        assert sorted(content.files) == ["about", "bias", "weights"]
    whole = (tmp_path / "classifier.npz").read_bytes()
    for bad in (
        b"",
        b"PK no zip",
        b"\x80\x04pickle",
        b"path,label\n",
        b"PK\x03\x04" + whole[:99],
        whole[:-99],
        b"-" + whole,
    ):
        (tmp_path / "bad.npz").write_bytes(bad)
        with pytest.raises(RSPNetError, match=r"bad\.npz' is no classifier .*fit: damaged, or no \.npz file$"):
            WindowClassifier.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "evil.npz", weights=np.array([print], dtype=object), bias=np.zeros(1), about=np.array("{}"))
    with pytest.raises(RSPNetError, match=r"is no classifier .*: it holds Python objects, which are never read$"):
        WindowClassifier.load(tmp_path / "evil.npz")
    np.savez(tmp_path / "other.npz", features=np.zeros(3))
    with pytest.raises(RSPNetError, match=r"is no classifier .*: it has no array 'about'$"):
        WindowClassifier.load(tmp_path / "other.npz")


def test_features_made_otherwise_are_refused_but_not_for_half_precision():
    one = WindowClassifier(("a",), True, np.zeros((1, 8)), np.zeros(1), (Rule(),), ("features",), STAMP)
    one.refuse_other(Stamp("ab", {"window_s": 2.0}, {"features": 8}, "float16"), place="s")
    with pytest.raises(ConfigError, match=r"window_s 2\.0, not 3\.0 as in 's'"):
        one.refuse_other(Stamp("ab", {"window_s": 3.0}, {"features": 8}), place="s")


def grouped(*extra):
    """Five videos, each of a group of its own, with both classes; `extra` labels are added to the first."""
    videos = [video(f"{n}", EVENTS, seed=n) for n in range(5)]
    for place, one in enumerate(videos):
        more = [Label(one.path, *row) for row in extra] if place == 0 else []
        rows = [replace(row, group=f"g{place}") for row in [*one.labels, *more]]
        videos[place] = replace(one, labels=rows)
    return videos


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("extra", [(), (("b", 10.0, 13.0),), (("b", 5.0, 11.0), ("b", 32.0, 38.0))])
def test_a_rare_overlap_of_labels_does_not_break_up_groups(extra, background):
    """Windows of two classes in one group alone are no class of their own: each class is in every group."""
    videos = grouped(*extra)
    fitted = fit_windows(videos, background=background, folds=5, seed=0)
    assert fitted.grouped_by == "group"
    assert fitted.exclusive == (not extra)
    assert not any("one video only" in text or "no cross-validation" in text for text in too_little(videos, fitted))
    assert class_scores(fitted, seed=0)["a"]["average_precision"]["value"] > 0.9


def test_a_class_that_only_stands_beside_another_is_in_every_training_part():
    """Class b holds in the windows of a alone, in two of three groups: a fold without a or b would raise an error."""
    videos = [video(f"{n}", [("a", 5.0, 11.0), ("a", 30.0, 36.0)], seed=n) for n in range(3)]
    for place, one in enumerate(videos):
        more = [Label(one.path, "b", 5.0, 11.0)] if place < 2 else []
        videos[place] = replace(one, labels=[replace(row, group=f"g{place}") for row in [*one.labels, *more]])
    fitted = fit_windows(videos, background=True, folds=5, seed=0)
    assert fitted.grouped_by == "group"
    assert np.isfinite(fitted.held_out[fitted.used]).all()


def test_intervals_of_events_are_over_what_folds_keep_together(monkeypatch):
    """Two films of a person say less than films of two people, to events as to windows."""
    monkeypatch.setattr(window_scores, "_with_interval", lambda _, units, __: list(units))
    videos = [video(f"{n}", EVENTS, seed=n) for n in range(6)]
    for labels in ("path", "group"):
        if labels == "group":
            rows = [[replace(row, group=f"g{place // 2}") for row in one.labels] for place, one in enumerate(videos)]
            videos = [replace(one, labels=own) for one, own in zip(videos, rows, strict=True)]
        fitted = fit_windows(videos, background=True, folds=3, seed=0)
        scores = segment_scores(videos, fitted, [Rule()] * len(fitted.names), seed=0)
        expected = [f"g{n // 2}" if labels == "group" else f"{n}" for n in range(6)]
        assert all(units == expected for units in scores.values())
