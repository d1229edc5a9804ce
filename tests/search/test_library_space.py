"""Whitened comparison in a library: what is stored, when it is fitted anew, and that no moment in between is seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.libraries import about, clip_rows, file_row, unit_rows
from reference.whitening_reference import cosines

from rspnet.features.spaces import motion_of
from rspnet.search import library_space
from rspnet.search.class_search import library_windows
from rspnet.search.library_store import Store
from rspnet.search.library_tables import ClipRows

DIM = 40
ABOUT = replace(about(), motion=DIM, appearance=6, features=DIM, whitened=True)
VIDEOS = 12
WINDOWS = 5


def video(number: int) -> ClipRows:
    """A video whose features go together, some far larger than others."""
    rng = np.random.default_rng(number)
    mixed = (
        rng.normal(size=(WINDOWS, DIM)) @ np.random.default_rng(0).normal(size=(DIM, DIM)) * np.geomspace(0.1, 9, DIM)
    )
    features = (mixed + 2).astype(np.float32)
    looks = unit_rows(WINDOWS, 6, seed=number) + np.float32([3, 0, 0, 0, 0, 0])
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    rows = clip_rows(f"/v/{number:02d}.mp4", WINDOWS, dim=DIM, seed=number)
    return replace(rows, motion=motion_of(features), appearance=looks, features=features)


def filled(folder: Path, numbers: list[int], *, tidy: bool = True) -> Store:
    store = Store.open_or_create(str(folder), ABOUT)
    for number in numbers:
        store.replace([file_row(video(number))], [video(number)])
    if tidy:
        store.tidy()
    return store


def stored(store: Store) -> list[ClipRows]:
    return sorted(store.clips_of([video(number).path for number in range(30)]), key=lambda rows: rows.path)


def joined(rows: list[ClipRows], kind: str) -> np.ndarray:
    return np.concatenate([getattr(row, kind) for row in rows])


def test_cosines_are_those_of_the_twin(tmp_path: Path) -> None:
    store = filled(tmp_path / "library", list(range(VIDEOS)))
    found, raw = stored(Store(store.uri)), [video(number) for number in range(VIDEOS)]
    for kind, source in (("motion", "features"), ("appearance", "appearance")):
        own, theirs = joined(found, kind), joined(raw, source)
        np.testing.assert_allclose(own @ own.T, cosines(theirs, theirs), atol=2e-4)
    few = joined(stored(filled(tmp_path / "few", list(range(7)))), "motion")
    assert few[:, :34].any(axis=0).all()
    assert not few[:, 34:].any()  # 35 windows differ along 34 directions


def test_a_query_is_compared_as_the_library_is(tmp_path: Path) -> None:
    store = Store(filled(tmp_path / "library", list(range(VIDEOS))).uri)
    asked = video(3)
    motion, appearance = store.compared(
        {"motion": asked.motion, "appearance": asked.appearance, "features": asked.features}
    )
    (own,) = store.clips_of([asked.path])
    np.testing.assert_allclose(motion, own.motion, atol=1e-6)
    np.testing.assert_allclose(appearance, own.appearance, atol=1e-6)
    ((path, score),) = store.nearest(np.concatenate([motion[2], 0 * appearance[2]]), limit=1)
    assert (path, score) == (asked.path, pytest.approx(1, abs=1e-5))


def test_neither_the_order_nor_the_number_of_runs_counts(tmp_path: Path) -> None:
    one = filled(tmp_path / "one", list(range(VIDEOS)))
    two = filled(tmp_path / "two", [7, 2, 11, 0, 5, 9, 4])
    filled(tmp_path / "two", [10, 1, 3, 8, 6])
    for first, second in zip(stored(one), stored(Store(two.uri)), strict=True):
        np.testing.assert_array_equal(first.motion, second.motion)
        np.testing.assert_array_equal(first.appearance, second.appearance)
    assert one.space is not None
    assert one.space.windows == VIDEOS * WINDOWS


def test_few_windows_and_equal_windows_are_compared_as_they_are(tmp_path: Path) -> None:
    few = filled(tmp_path / "few", [0, 1, 2])
    assert few.space is None
    np.testing.assert_array_equal(stored(few)[1].motion, video(1).motion)
    same = Store.open_or_create(str(tmp_path / "same"), ABOUT)
    first = video(0)
    kinds = ("motion", "appearance", "features")
    one = replace(first, **{name: np.repeat(getattr(first, name)[:1], WINDOWS, axis=0) for name in kinds})
    for number in range(VIDEOS):
        rows = replace(one, path=f"/v/{number:02d}.mp4")
        same.replace([file_row(rows)], [rows])
    same.tidy()
    assert same.space is None


def test_windows_that_come_later_are_compared_by_the_maps_of_then_until_the_next_fit(tmp_path: Path) -> None:
    store = filled(tmp_path / "library", list(range(VIDEOS)))
    before = store.space
    assert before is not None
    store.replace([file_row(video(20))], [video(20)])
    (own,) = Store(store.uri).clips_of([video(20).path])
    wanted = before.vectors(video(20).features, video(20).appearance, ABOUT)
    np.testing.assert_allclose(own.motion, wanted[0], atol=1e-6)
    store.tidy()
    assert store.space is not None
    assert store.space.name != before.name
    assert store.space.windows == (VIDEOS + 1) * WINDOWS
    again = Store(store.uri)
    again.tidy()  # nothing new: nothing is written
    assert again.space is not None
    assert again.space.name == store.space.name


def test_whoever_has_it_open_sees_one_state_and_a_stop_in_between_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "library", list(range(VIDEOS)))
    reader = Store(store.uri)
    old = stored(reader)
    store.replace([file_row(video(20))], [video(20)])

    def broken(*_: object) -> object:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(library_space, "joined", broken)
        with pytest.raises(RuntimeError, match="stopped"):
            store.tidy()
    after = Store(store.uri)
    assert after.space is not None
    assert after.space.windows == VIDEOS * WINDOWS
    assert len(after) == (VIDEOS + 1) * WINDOWS
    np.testing.assert_array_equal(stored(after)[0].motion, old[0].motion)
    after.tidy()
    assert len(after) == (VIDEOS + 1) * WINDOWS
    assert not np.array_equal(stored(after)[0].motion, old[0].motion)
    np.testing.assert_array_equal(stored(reader)[0].motion, old[0].motion)
    assert reader.space is not None
    assert reader.space.windows == VIDEOS * WINDOWS


def test_of_many_windows_some_are_looked_at_and_the_maps_hold_until_there_are_twice_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_space, "MOST", 40)
    store = filled(tmp_path / "library", list(range(VIDEOS)))
    first = store.space
    assert first is not None
    other = filled(tmp_path / "other", list(range(VIDEOS))[::-1])
    assert other.space is not None
    assert other.space.name == first.name  # which windows are looked at does not depend on the order
    filled(tmp_path / "library", [12, 13, 14])
    assert (kept := Store(store.uri).space) is not None
    assert kept.name == first.name
    filled(tmp_path / "library", list(range(15, 2 * VIDEOS)))
    assert (now := Store(store.uri).space) is not None
    assert now.windows == 2 * VIDEOS * WINDOWS


def test_classes_are_found_by_the_vectors_of_the_network(tmp_path: Path) -> None:
    store = filled(tmp_path / "library", list(range(VIDEOS)))
    for kind in ("features", "motion", "appearance"):
        for found, number in zip(library_windows(store, [kind], lambda rows: rows), range(VIDEOS), strict=True):
            np.testing.assert_allclose(found.values, getattr(video(number), kind), atol=1e-6)
