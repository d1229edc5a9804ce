"""What the page can ask for, without a page: filters, the query's part, files that are not what was indexed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from helpers import tasks_for_workers
from helpers.extras import need
from helpers.served import FPS, NASTY, copy_of, make_library

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.features.timeline import Event
from rspnet.features.window_classifier import open_window_classifier
from rspnet.search.class_search import search_class
from rspnet.search.label_log import Labels, part
from rspnet.search.library import Library
from rspnet.search.ui import cards, decoding, label_cards
from rspnet.search.ui.answers import PageAnswers, Tab
from rspnet.search.ui.decoding import within_limit
from rspnet.search.ui.label_steps import LabelSteps
from rspnet.search.ui.service import Filters, Service
from rspnet.video.reader import open_video

need("lancedb")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    make_library(root)
    return root


@pytest.fixture(scope="module")
def library(root):
    return Library(str(root / "library"))


@pytest.fixture
def service(library, tmp_path):
    return Service(library, tmp_path / "private", upload_bytes=2**20)


def path_of(service: Service, name: str) -> str:
    return service.names[name]


@pytest.mark.slow
def test_the_library_as_the_page_shows_it(service, root):
    assert service.root == root / "videos"
    assert sorted(service.names) == sorted(
        ["first/one/a.mp4", "first/one/b.avi", "first/c.mp4", "second/d.mp4", "second/long.mp4", f"second/{NASTY}"]
    )
    assert service.folders() == ["first", "first/one", "second"]
    assert service.skipped == 1
    groups = {name: group(path_of(service, "first/one/a.mp4")) for name, group in service.groups.items()}
    assert groups == {"folder": "first/one", "top folder": "first"}
    assert [group(str(root / "videos" / "x.mp4")) for group in service.groups.values()] == ["videos", "videos"]


@pytest.mark.parametrize("written", ["second/d.mp4", "{root}/videos/second/d.mp4"])
def test_classes_of_a_list_are_of_the_videos_as_the_page_names_them(service, root, tmp_path, written):
    (tmp_path / "list.csv").write_text(f"path,label\n{written.format(root=root)},walk\nelsewhere.mp4,run\n")
    service.colour_by_class(tmp_path / "list.csv")
    assert next(iter(service.groups)) == "class"
    group = service.groups["class"]
    assert [group(path_of(service, name)) for name in ("second/d.mp4", "first/c.mp4")] == ["walk", "no class"]


def test_a_video_asked_with_finds_itself_first_and_only_while_it_may(service):
    clip = service.open_library(path_of(service, "second/d.mp4"))
    assert (clip.facts.width, clip.facts.height, clip.facts.duration_s) == (48, 48, pytest.approx(3.2))
    asked = service.ask(clip, 0.0, 3.2)
    hits = service.hits([asked], Filters(), alpha=0.3, k=6)[0]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert (hits[0].path, hits[0].score) == (str(clip.path), pytest.approx(1, abs=1e-4))
    others = service.hits([asked], Filters(other_videos=True), alpha=0.3, k=6)[0]
    assert [hit.path for hit in others] == [hit.path for hit in hits[1:]]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (Filters(folder="first"), {"first/one/a.mp4", "first/one/b.avi", "first/c.mp4"}),
        (Filters(folder="first/one"), {"first/one/a.mp4", "first/one/b.avi"}),
        (Filters(folder="fir"), set()),
        (Filters(shortest_s=5), {"second/long.mp4"}),
        (Filters(folder="second", longest_s=5), {"second/d.mp4", f"second/{NASTY}"}),
        (Filters(shortest_s=100), set()),
    ],
)
@pytest.mark.parametrize("few", [200, 0])  # the videos compared one by one, or taken from the nearest clips
def test_filters_leave_just_the_videos_that_pass(service, monkeypatch, filters, names, few):
    monkeypatch.setattr("rspnet.search.query._FEW_VIDEOS", few)
    asked = service.ask(service.open_library(path_of(service, "first/c.mp4")), 0.0, 3.2)
    everything = service.hits([asked], Filters(), alpha=0.5, k=10)[0]
    found = service.hits([asked], filters, alpha=0.5, k=10)[0]
    assert {service.shown_name(hit.path) for hit in found} == names
    assert found == [hit for hit in everything if service.shown_name(hit.path) in names]


def uploaded(service: Service, source: Path, name: str) -> str:
    return service.uploaded(copy_of(source, service.new_upload(name)))


def test_an_upload_is_searched_like_the_same_file_of_the_library(service, root):
    ticket = uploaded(service, root / "videos" / "first" / "c.mp4", "My clip.MP4")
    clip = service.open_upload(ticket, "My clip.MP4")
    mine = service.ask(clip, 0.5, 2.5)
    theirs = service.ask(service.open_library(path_of(service, "first/c.mp4")), 0.5, 2.5)
    np.testing.assert_array_equal(mine.query.motion, theirs.query.motion)
    assert service.hits([mine], Filters(), alpha=1, k=3)[0] == service.hits([theirs], Filters(), alpha=1, k=3)[0]
    whole = service.library.embed(clip.path, start_s=0.5, end_s=2.5)
    np.testing.assert_allclose(mine.query.motion, whole.motion, atol=1e-6)
    np.testing.assert_allclose(mine.query.appearance, whole.appearance, atol=1e-6)


def test_bad_uploads_are_refused(service, root, tmp_path):
    with pytest.raises(RSPNetError, match=r"notes\.txt does not end like a video"):
        service.new_upload("notes.txt")
    (tmp_path / "text").write_text("no video")
    with pytest.raises(RSPNetError, match=r"broken\.mp4 cannot be read: not a readable video container"):
        service.open_upload(uploaded(service, tmp_path / "text", "broken.mp4"), "broken.mp4")
    unfinished = copy_of(root / "videos" / "first" / "c.mp4", service.new_upload("c.mp4"))
    for ticket in (unfinished.name, "0" * 32 + ".mp4", "../previews/a.mp4", str(root / "videos" / "first" / "c.mp4")):
        with pytest.raises(RSPNetError, match="drop it in again"):
            service.open_upload(ticket, "c.mp4")
    service.forget_unfinished(unfinished)
    assert not unfinished.exists()


def test_old_uploads_make_room_for_new_ones(library, root, tmp_path):
    source = root / "videos" / "first" / "c.mp4"
    service = Service(library, tmp_path / "private", upload_bytes=source.stat().st_size // 9)  # room for two
    clip = service.open_upload(uploaded(service, source, "one.mp4"), "one.mp4")
    for name in ("two.mp4", "three.mp4"):
        uploaded(service, source, name)
    with pytest.raises(RSPNetError, match=r"one\.mp4 was uploaded long ago and has been removed: drop it in again"):
        service.ask(clip, 0, 1)
    assert len(list((tmp_path / "private" / "uploads").iterdir())) == 2


@pytest.mark.parametrize(("start", "end", "message"), [(2, 2, "empty"), (3, 1, "empty"), (5, 9, "empty"), (0, 90, "")])
def test_the_part_asked_with(service, start, end, message):
    clip = service.open_library(path_of(service, "first/c.mp4"))
    if message:
        with pytest.raises(RSPNetError, match=message):
            service.ask(clip, start, end)
    else:
        assert service.ask(clip, start, end).end_s == clip.facts.duration_s
        endless = replace(clip, facts=replace(clip.facts, duration_s=90.0))
        with pytest.raises(RSPNetError, match="90 s long: choose 60 s or less"):
            service.ask(endless, start, end)


def test_previews_are_short_cuts_that_browsers_play(service):
    clip = service.open_library(path_of(service, "second/long.mp4"))
    name = service.preview(clip, 2.0, 4.5)
    assert re.fullmatch(r"[0-9a-f]{32}\.mp4", name)
    assert name == service.preview(clip, 2.0, 4.5) != service.preview(clip, 2.0, 4.4)
    with open_video(service.previews.get(name)) as cut, open_video(clip.path) as whole:
        assert len(cut) == 25
        assert cut.fps == pytest.approx(FPS)
        shown, meant = (video.frames_at([index]).astype(int) for video, index in ((cut, 5), (whole, 25)))
        assert np.abs(shown - meant).mean() < 8


def test_pictures_of_a_video_show_its_middle_and_its_whole_length(service):
    path = path_of(service, "second/long.mp4")
    poster = matplotlib.image.imread(service.previews.get(service.poster(path))).astype(int)
    strip = matplotlib.image.imread(service.previews.get(service.film_strip(service.open_library(path)))).astype(int)
    with open_video(Path(path)) as whole:
        frames = whole.frames_at([48, *range(4, 96, 8)]).astype(int)
    assert np.abs(poster - frames[0]).mean() < 8
    assert np.abs(strip - np.concatenate(list(frames[1:]), axis=1)).mean() < 8
    assert service.offered_video(service.offer_video(path)) == Path(path)
    assert service.offered_video("0" * 32 + ".mp4") is None


@pytest.mark.slow
def test_only_files_that_are_what_was_indexed_are_opened(root, tmp_path):
    """Another file in the place of an indexed one, a link to one, and one that has gone."""
    secret = copy_of(root / "videos" / "second" / "long.mp4", tmp_path / "elsewhere" / "secret.mp4")
    own = tmp_path / "own"
    make_library(own)
    service = Service(Library(str(own / "library")), tmp_path / "private", upload_bytes=2**20)
    victim = service.names["first/one/a.mp4"]
    clip = service.open_library(victim)
    asked = service.ask(service.open_library(service.names["second/d.mp4"]), 0.0, 3.2)
    hit = next(hit for hit in service.hits([asked], Filters(), alpha=0.5, k=9)[0] if hit.path == victim)
    for change in ("other content", "link", "gone"):
        Path(victim).unlink(missing_ok=True)
        if change == "other content":
            copy_of(secret, Path(victim))
        elif change == "link":
            Path(victim).symlink_to(secret)
        for wanted in (
            lambda: service.open_library(victim),
            lambda: service.ask(clip, 0, 1),
            lambda: service.previews.get(service.preview(clip, 0, 1)),
            lambda: service.previews.get(service.preview_hit(hit)),
            lambda: service.previews.get(service.poster(victim)),
            lambda: service.previews.get(service.film_strip(clip)),
            lambda: service.offered_video(service.offer_video(victim)),
            lambda: service.explain(asked, hit),
        ):
            with pytest.raises(RSPNetError, match=r"a\.mp4 has changed or gone since it was indexed"):
                wanted()
    for path in (str(secret), "/etc/passwd", "", victim + "/../c.mp4"):
        with pytest.raises(RSPNetError, match="no such video"):
            service.open_library(path)


@pytest.mark.slow
def test_an_explanation_is_a_picture_and_a_film(service):
    asked = service.ask(service.open_library(path_of(service, "first/c.mp4")), 0.0, 3.2)
    hit = service.hits([asked], Filters(other_videos=True), alpha=0.5, k=1)[0][0]
    strip, film = (service.previews.get(name) for name in service.explain(asked, hit))
    assert strip.read_bytes().startswith(b"\x89PNG")
    with open_video(film) as video:
        assert len(video) > 4


def test_the_map_places_every_video(service):
    assert sorted(service.paths) == sorted(service.files)
    layouts = [service.layout(space, "PCA") for space in ("motion", "appearance", "both")]
    for layout in layouts:
        assert layout.points.shape == (6, 2)
        assert layout.points.min() == 0
        assert layout.points.max() == 1
    assert not np.allclose(layouts[0].points, layouts[1].points)
    by_path: dict[str, list[Any]] = {path: [] for path in service.paths}
    for row in service.library.store._clips.to_arrow().to_pylist():
        by_path[row["path"]].append(row["vector"])
    means = np.stack([np.mean(by_path[path], axis=0) for path in service.paths])
    np.testing.assert_allclose(service._means, means, atol=1e-6)


@pytest.mark.parametrize(("task", "reason"), [("abort", "crashed"), ("hang", "hung")])
def test_a_decoder_that_crashes_or_hangs_costs_one_answer(monkeypatch, task, reason):
    monkeypatch.setattr(decoding, "_LIMIT_SECONDS", 1.0)
    with pytest.raises(DecodeError, match=reason):
        within_limit(tasks_for_workers.risky, task, Path("clip.mp4"))
    assert within_limit(tasks_for_workers.square, 3, Path("clip.mp4")) == 9


def test_names_stay_text(service):
    asked = service.ask(service.open_library(path_of(service, f"second/{NASTY}")), 0.0, 3.2)
    hits = service.hits([asked], Filters(), alpha=0.5, k=6)[0]
    names = [service.shown_name(hit.path) for hit in hits]
    labels = Labels((part("v", NASTY, 0, 1),), (NASTY,))
    shown = [cards.Card(hit, None, "k", name, "p.mp4", "v.mp4", 3.2) for hit, name in zip(hits, names, strict=True)]
    pages = [
        cards.hit_cards(shown),
        cards.shelf(names, ["p.jpg"] * 6),
        cards.player(NASTY, "p.mp4", key="k", length=3.2),
        cards.explanation(names[0], 0, ("s.png", "f.mp4")),
        cards.empty(NASTY, NASTY),
        cards.example_list([(True, NASTY, 0.0, 1.0)]),
        label_cards.classes_panel(labels, [labels.marks], labels.marks, note=NASTY),
        label_cards.strip(labels, labels.marks, [Event(NASTY, 0.0, 1.0)], (0.0, 1.0), 3.2),
    ]
    for page in pages:
        assert "x&lt;img" in page
        assert "<img src=q" not in page


def test_a_state_of_a_user_holds_no_pixels(service):
    """What is kept for each user between two clicks is small: vectors and names."""
    asked = service.ask(service.open_library(path_of(service, "second/long.mp4")), 0.0, 9.6)
    arrays = [value for value in vars(asked.query).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 20_000
    assert json.dumps(asked.clip.name)


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def labelling(library, tmp_path):
    return Service(library, tmp_path / "labelling", upload_bytes=2**20, marks=tmp_path / "labels").labelling


def held(labelling) -> list[tuple[str, str, float, float]]:
    return [(Path(m.path).name, m.label, m.start_s, m.end_s) for m in labelling.read().marks]


def test_marking_replaces_takes_back_and_is_undone(labelling, service):
    path = path_of(service, "second/d.mp4")
    steps = [labelling.mark(path, 0.0, 1.0, "wave")]
    steps.append(labelling.mark(path, 0.1, 1.0, "turn"))  # nearly that part: in its place
    assert held(labelling) == [("d.mp4", "turn", 0.1, 1.0)]
    steps.append(labelling.mark(path, 1.0, 2.0, "wave"))
    steps.append(labelling.mark(path, 0.0, 1.0, "turn"))  # again: taken back
    assert held(labelling) == [("d.mp4", "wave", 1.0, 2.0)]
    for count in (2, 1, 1, 0):
        labelling.undo(steps.pop())
        assert len(held(labelling)) == count
    with pytest.raises(RSPNetError, match="only videos of the library can be labelled"):
        labelling.mark("/etc/passwd", 0, 1, "wave")


def test_classes_have_keys_and_names_of_their_own(labelling):
    for number in range(9):
        labelling.add_class(f"  class   {number} ")
    assert labelling.read().classes[0] == "class 0"
    for name, message in (
        ("x", "there are 9 classes"),
        ("class 0", "a class class 0 already"),
        ("CLASS 1", "nearly the same name"),
        (" ", "type the name"),
    ):
        with pytest.raises(RSPNetError, match=message):
            labelling.add_class(name)


def test_tables_of_boris_and_csv_are_taken_in_once(labelling, root, tmp_path):
    boris = "Media file name\tBehavior\tStart (s)\tStop (s)\nd.mp4\tturn\t0.5\t1.5\n"
    plain = f"path,label,start_s,end_s\n{root}/videos/second/d.mp4,turn,0.5,1.5\nsecond/long.mp4,wave,,\n"
    for name, text, new in (("b.tsv", boris, 1), ("p.csv", plain, 1), ("again.csv", plain, 0)):
        (tmp_path / name).write_text(text)
        assert labelling.import_table(tmp_path / name)[1] == new
    assert held(labelling) == [("d.mp4", "turn", 0.5, 1.5), ("long.mp4", "wave", 0.0, pytest.approx(9.6))]
    (tmp_path / "late.csv").write_text("path,label,start_s,end_s\nd.mp4,turn,50,51\n")
    with pytest.raises(RSPNetError, match=r"starts at 50 s: the video ends at 3.20 s"):
        labelling.import_table(tmp_path / "late.csv")
    (tmp_path / "short.csv").write_text("path,label,start_s,end_s\nd.mp4,turn,0.0001,0.0002\n")
    with pytest.raises(RSPNetError, match=r"label 'turn' of d\.mp4: from 0\.0001 to 0\.0002 s is less than a milli"):
        labelling.import_table(tmp_path / "short.csv")
    (tmp_path / "long.csv").write_text("path,label,start_s,end_s\nd.mp4,turn,2,1e308\n")
    labelling.import_table(tmp_path / "long.csv")
    assert held(labelling)[1] == ("d.mp4", "turn", 2.0, pytest.approx(3.2))


def test_what_is_trained_ranks_the_library_as_the_command_does(labelling, service, library, tmp_path):
    need("sklearn")
    with pytest.raises(RSPNetError, match="there are no labels yet"):
        labelling.train()
    whole = labelling.mark(path_of(service, "second/d.mp4"), 0.0, 3.2, "turn")
    with pytest.raises(RSPNetError, match="nothing to tell turn from: label a second class, or mark background"):
        labelling.train()
    labelling.undo(whole)
    for name, label in (("second/d.mp4", "turn"), ("first/c.mp4", "turn"), ("second/long.mp4", "wave")):
        labelling.mark(path_of(service, name), 0.0, 1.5, label)
    judged = labelling.train()
    assert labelling.train() is judged
    assert judged.classes == ["turn", "wave"]
    assert judged.caution().startswith("Scores mean little with so few labels (1 of wave): probabilities say which")
    enough = tuple(part("v", label, at, at + 1) for label in ("turn", "wave") for at in range(5))
    assert replace(judged, labels=Labels(enough, ("turn", "wave"))).caution() == ""
    judged.classifier.save(tmp_path / "classifier.npz")
    classifier, label = open_window_classifier(f"{tmp_path / 'classifier.npz'}:wave")
    wanted = search_class(library, classifier, label, k=5)
    found = labelling.ranked(judged, "wave", k=5)
    assert [(hit.path, hit.start_s) for hit in found] == [(hit.path, hit.start_s) for hit in wanted]
    asked = labelling.ask_next(judged, k=4, within=[path_of(service, "second/d.mp4")])
    assert {hit.path for hit in asked} == {path_of(service, "second/d.mp4")}
    assert all(hit.start_s >= 1.5 for hit in asked)


def test_labels_of_videos_that_are_not_in_the_library_are_left_out_and_said(labelling, service, tmp_path):
    need("sklearn")
    labelling._log.change([part("/elsewhere/a.mp4", "turn", 0, 1)])
    gone = r"1 of 1 label is of a video that is not in this library \(the first: '/elsewhere/a\.mp4'\): mark some hits"
    with pytest.raises(RSPNetError, match=gone):
        labelling.train()
    service.labelling = labelling
    labelling._log.change([part("/elsewhere/b.mp4", "sit", 0, 1)])
    whole = labelling.mark(path_of(service, "second/d.mp4"), 0.0, 3.2, "turn")
    with pytest.raises(RSPNetError, match=r"nothing to tell turn from \(2 of 3 labels are of videos that are not"):
        labelling.train()
    labelling.undo(whole)
    for name, label in (("second/d.mp4", "turn"), ("second/long.mp4", "wave")):
        labelling.mark(path_of(service, name), 0.0, 1.5, label)
    answers = PageAnswers(service, upload_mb=1)
    tab = Tab()
    LabelSteps(answers).train(tab, {})
    assert tab.note.startswith("trained on 2 labels in ")
    said = "2 of 4 labels are of videos that are not in this library (the first: '/elsewhere/a.mp4'): left out"
    assert f"; {said}" in tab.note
    assert tab.judged is not None
    assert (len(tab.judged.labels.marks), tab.judged.classes) == (2, ["turn", "wave"])
    assert "elsewhere" not in labelling.read().as_csv()  # what the page saves is what `classify fit` can read


def test_a_library_in_an_object_store_needs_a_place_for_labels(labelling):
    labelling._log = None
    assert labelling.read().marks == ()
    with pytest.raises(RSPNetError, match=r"start rspnet serve with --marks FOLDER"):
        labelling.add_class("wave")
