"""The store with hand-made vectors: exact scores, replaced, removed and unfinished videos, foreign models."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, replace
from datetime import timedelta

import numpy as np
import pytest
from helpers.extras import need
from helpers.libraries import about, clip_rows, file_row, unit_rows

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.search import library_store as module
from rspnet.search import library_tables
from rspnet.search import query as query_module
from rspnet.search.lance import naming
from rspnet.search.library_store import Store
from rspnet.search.library_tables import joined
from rspnet.search.query import ClipOf, Query, search, stored_query

need("lancedb")


def filled(tmp_path, *, videos=12, windows=5, dim=8):
    store = Store.open_or_create(str(tmp_path / "lib"), about(dim=dim))
    rows = [clip_rows(f"/v/{n}'s.mp4", windows, dim=dim, seed=n) for n in range(videos)]
    store.replace([file_row(row) for row in rows], rows)
    return store, rows


def query_of(row, *, content=""):
    return Query(row.start_s, row.end_s, row.motion, row.appearance, content)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_scores_are_exact_and_hits_are_those_of_a_plain_search(tmp_path, alpha):
    store, rows = filled(tmp_path)
    motion, appearance = unit_rows(1, 8, seed=90), unit_rows(1, 8, seed=91)
    query = Query(np.array([0.0]), np.array([2.0]), motion, appearance)
    hits = search(store, query, alpha=alpha, k=12)
    expected = []
    for row in rows:
        m, a = row.motion.astype(float) @ motion[0], row.appearance.astype(float) @ appearance[0]
        best = int(np.argmax(alpha * m + (1 - alpha) * a))
        expected.append((-(alpha * m[best] + (1 - alpha) * a[best]), row.path, m[best], a[best]))
    expected.sort()
    assert [hit.path for hit in hits] == [path for _, path, *_ in expected]
    for hit, (_, _, m, a) in zip(hits, expected, strict=True):
        assert hit.score == alpha * hit.motion + (1 - alpha) * hit.appearance  # not one bit off
        assert hit.motion == pytest.approx(m, abs=1e-6)
        assert hit.appearance == pytest.approx(a, abs=1e-6)


def test_the_two_spaces_need_not_be_of_one_length(tmp_path):
    store = Store.open_or_create(str(tmp_path / "lib"), replace(about(dim=8), appearance=3))
    row = replace(clip_rows("/v/a.mp4", 4, dim=8, seed=0), appearance=unit_rows(4, 3, seed=1))
    store.replace([file_row(row)], [row])
    (found,) = store.clips_of([row.path])
    np.testing.assert_array_equal(found.motion, row.motion)
    np.testing.assert_array_equal(found.appearance, row.appearance)
    motion, appearance = store.parts_of(store.video_means()[1])
    np.testing.assert_allclose(motion[0], row.motion.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(appearance[0], row.appearance.mean(axis=0), atol=1e-6)


def test_the_stores_dot_product_is_the_score(tmp_path):
    store, rows = filled(tmp_path)
    motion, appearance = unit_rows(1, 8, seed=90), unit_rows(1, 8, seed=91)
    found = store.nearest(joined(motion, appearance, alpha=0.3)[0], limit=60)
    assert len(found) == 60
    every = [
        0.3 * m @ motion[0] + 0.7 * a @ appearance[0] for r in rows for m, a in zip(r.motion, r.appearance, strict=True)
    ]
    np.testing.assert_allclose([score for _, score in found], sorted(every, reverse=True), atol=1e-6)


def test_alpha_chooses_between_two_kinds_of_likeness(tmp_path):
    store, rows = filled(tmp_path)
    query = replace(query_of(rows[3]), appearance=rows[7].appearance)
    assert search(store, query, alpha=1, k=1)[0].path == rows[3].path
    assert search(store, query, alpha=0, k=1)[0].path == rows[7].path


def test_not_same_video_leaves_out_every_copy(tmp_path):
    store, rows = filled(tmp_path)
    copy = replace(rows[3], path="/elsewhere/copy.mp4")
    store.replace([file_row(copy)], [copy])
    query = query_of(rows[3], content=rows[3].content)
    assert {hit.path for hit in search(store, query, alpha=0.5, k=2, same_part=True)} == {rows[3].path, copy.path}
    others = search(store, query, alpha=0.5, k=50, not_same_video=True)
    assert len(others) == 11
    assert not {rows[3].path, copy.path} & {hit.path for hit in others}


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_copies_of_the_query_take_no_place_of_other_hits(tmp_path, k):
    store, rows = filled(tmp_path)
    copies = [replace(rows[3], path=f"/elsewhere/copy{n}.mp4") for n in range(40)]
    store.replace([file_row(copy) for copy in copies], copies)
    query = query_of(rows[3], content=rows[3].content)
    found = search(store, query, alpha=0.5, k=k)
    expected = search(store, query, alpha=0.5, k=50, not_same_video=True)
    assert len(expected) == 11
    assert found == expected[:k]


def test_a_clip_planted_in_a_long_video_is_located(tmp_path):
    store, rows = filled(tmp_path)
    rng = np.random.default_rng(0)
    planted = clip_rows("/v/long.mp4", 120, dim=8, seed=77)
    for name in ("motion", "appearance"):
        noisy = getattr(rows[2], name) + 0.1 * rng.standard_normal((5, 8)).astype(np.float32)
        getattr(planted, name)[71:76] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    store.replace([file_row(planted)], [planted])
    hit = next(hit for hit in search(store, query_of(rows[2]), alpha=0.5, k=2) if hit.path == planted.path)
    assert hit.windows == 5
    overlap = min(hit.end_s, 77) - max(hit.start_s, 71)  # 5 windows of 2 s, 1 s apart: 6 seconds
    assert overlap / (max(hit.end_s, 77) - min(hit.start_s, 71)) >= 0.9


def test_windows_that_could_not_be_read_do_not_shift_the_others(tmp_path):
    store, rows = filled(tmp_path, videos=1, windows=9)
    kept = np.array([0, 1, 5, 6, 7])
    names = ("window", "start_s", "end_s", "motion", "appearance", "features")
    holey = replace(rows[0], path="/v/holey.mp4", **{name: getattr(rows[0], name)[kept] for name in names})
    store.replace([file_row(holey)], [holey])
    query = Query(np.arange(3.0), np.arange(3.0) + 2, rows[0].motion[5:8], rows[0].appearance[5:8])
    hit = next(hit for hit in search(store, query, alpha=0.5, k=2) if hit.path == holey.path)
    assert hit.start_s == pytest.approx(5, abs=0.5)
    assert hit.score == pytest.approx(1, abs=1e-6)


def test_replacing_removing_and_touching(tmp_path):
    store, rows = filled(tmp_path)
    assert len(store) == 60
    shorter = clip_rows(rows[0].path, 2, dim=8, seed=500)
    store.replace([file_row(shorter)], [shorter])
    assert len(store) == 57
    assert store.files()[rows[0].path].content == shorter.content
    store.remove([rows[1].path])
    assert rows[1].path not in store.files()
    assert len(store) == 52
    store.touch([replace(store.files()[rows[2].path], mtime_ns=99)])
    assert store.files()[rows[2].path].mtime_ns == 99
    assert len(store.files()) == 11
    (again,) = Store(store.uri).clips_of([rows[5].path])
    np.testing.assert_array_equal(again.motion, rows[5].motion)
    np.testing.assert_array_equal(again.appearance, rows[5].appearance)


def test_old_versions_go_after_their_time(tmp_path, monkeypatch):
    def size():
        return sum(path.stat().st_size for path in (tmp_path / "lib").rglob("*") if path.is_file())

    store, rows = filled(tmp_path, windows=50)
    for _ in range(4):
        store.replace([file_row(row) for row in rows], rows)
    versions = len(store._clips.list_versions())
    grown = size()
    store.tidy()
    assert len(store._clips.list_versions()) >= versions  # they are young
    reader = Store(store.uri)
    assert len(list(reader.clips_of([rows[3].path]))) == 1
    monkeypatch.setattr(module, "KEPT_FOR", timedelta(milliseconds=50))
    time.sleep(0.2)
    store.tidy()
    assert len(store._clips.list_versions()) == 1
    assert size() < grown / 3
    assert len(Store(store.uri)) == 600


def test_clips_without_a_file_row_are_unfinished(tmp_path):
    store, rows = filled(tmp_path)
    assert store.unfinished(store.files()) == {}
    store._files.delete("path = '/v/4''s.mp4'")
    assert store.unfinished(store.files()) == {rows[4].path: (rows[4].content, frozenset(rows[4].window.tolist()))}
    store.replace([], [replace(rows[4], content="other")], stale=())  # two runs on two contents
    ((content, _),) = store.unfinished(store.files()).values()
    assert content == ""


def test_other_models_and_settings_are_refused_by_name(tmp_path):
    store, _ = filled(tmp_path)
    with pytest.raises(
        ConfigError, match=r"was made by model 'a.ckpt' \(sha256 0123\), not by 'b.ckpt' \(sha256 ffff\)"
    ):
        Store.open_or_create(store.uri, replace(about(), model="b.ckpt", weights_sha256="ffff"))
    other = replace(about().clip, hop_s=0.5)
    with pytest.raises(ConfigError, match=r"was made with --hop_s 1.0, not 0.5"):
        Store.open_or_create(store.uri, replace(about(), clip=other))
    Store.open_or_create(store.uri, replace(about(), plugins_sha256="abc"))  # nothing is known of the library's
    made = Store.open_or_create(str(tmp_path / "of_a_plug_in"), replace(about(), plugins_sha256="abc"))
    with pytest.raises(ConfigError, match="was made by other code of the plug-in"):
        Store.open_or_create(made.uri, replace(about(), plugins_sha256="def"))
    Store.open_or_create(made.uri, about())  # the network's code is a script's, which is not known
    moved = replace(about(), model="elsewhere/a.ckpt")
    assert Store.open_or_create(store.uri, moved).about.model == "a.ckpt"


def test_what_is_no_library(tmp_path):
    with pytest.raises(RSPNetError, match="is no library of videos: make one with rspnet index"):
        Store(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file: name a folder"):
        Store(str(tmp_path / "file"))
    store, _ = filled(tmp_path)
    store._about.delete("true")
    store._about.add([{"json": json.dumps({"schema": 99, **asdict(about())})}])
    store._db.drop_table("spaces")  # as libraries were before there were maps
    with pytest.raises(RSPNetError, match="another version of rspnet"):
        Store.open_or_create(store.uri, about())
    with pytest.raises(RSPNetError, match="another version of rspnet"):
        Store(store.uri)


def test_a_damaged_library_is_named(tmp_path):
    store, rows = filled(tmp_path)
    for file in (tmp_path / "lib").rglob("data/*.lance"):
        file.write_bytes(b"xx")
    with pytest.raises(RSPNetError, match=r"library .*lib' is damaged: .*; remove the library and run rspnet index"):
        Store(store.uri)
    with pytest.raises(RSPNetError, match=r"library .*lib' is damaged"):
        search(store, query_of(rows[0]), alpha=0.5, k=3)


@pytest.mark.parametrize("harm", [lambda file: file.write_bytes(file.read_bytes()[:100]), lambda file: file.unlink()])
@pytest.mark.parametrize("table", ["files", "clips"])
def test_whatever_is_read_of_a_damaged_library_says_so(tmp_path, table, harm):
    uri = filled(tmp_path)[0].uri
    for file in (tmp_path / "lib" / f"{table}.lance" / "data").iterdir():
        harm(file)
    (tmp_path / "lib" / "labels").mkdir()
    store, paths = Store(uri), ["/v/1's.mp4"]
    reads = {
        "files": [store.files, lambda: list(store.files_of(paths))],
        "clips": [
            lambda: store.unfinished([]),
            store.video_means,
            lambda: list(store.clips_of(paths)),
            lambda: list(store.rows(["path"])),
        ],
    }
    cure = "move its folder labels elsewhere (made by hand), remove the library and run rspnet index again"
    for ask in [*reads[table], lambda: store.remove(paths)]:
        with pytest.raises(RSPNetError, match=rf"^library '.*lib' is damaged: .*; {re.escape(cure)}$"):
            ask()


def test_what_the_machine_refuses_is_no_damage():
    full = r"^cannot use library 'lib': IO: No space left on device \(os error 28\)$"
    with pytest.raises(RSPNetError, match=full), naming("lib"):
        raise RuntimeError("IO: No space left on device (os error 28), /rustc/2d81/library/core/function.rs:250:5")
    with pytest.raises(RuntimeError, match="out of memory"), naming("lib"):
        raise RuntimeError("out of memory")


def test_a_query_whose_name_no_library_can_hold_is_not_stored(tmp_path):
    store, _ = filled(tmp_path, videos=1)
    assert stored_query(store, ClipOf(os.fsdecode(b"/v/\xff.mp4"))) is None


def test_a_library_that_was_not_finished_being_made_is_made_anew(tmp_path):
    store, _ = filled(tmp_path)
    store._db.drop_table("about")
    assert len(Store.open_or_create(store.uri, about())) == 0


@pytest.mark.slow
def test_a_large_library_is_indexed_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ANN_FROM_CLIPS", 500)
    store, rows = filled(tmp_path, videos=60, windows=10)
    assert not store._indexed
    store.tidy()
    assert Store(store.uri)._indexed
    for row in rows[::10]:
        for alpha in (0.0, 0.5, 1.0):
            hit = search(store, query_of(row), alpha=alpha, k=1)[0]
            assert (hit.path, hit.start_s) == (row.path, 0.0)
            assert hit.score == pytest.approx(1, abs=1e-6)
    extra = clip_rows("/v/extra.mp4", 10, dim=8, seed=999)
    store.replace([file_row(extra)], [extra])
    assert search(store, query_of(extra), alpha=0.5, k=1)[0].path == extra.path  # before the index knows it
    store.tidy()
    assert search(store, query_of(extra), alpha=0.5, k=1)[0].path == extra.path


@pytest.mark.parametrize(("indexed", "named"), [(False, True), (True, True), (True, False)])
def test_a_filter_comes_before_the_search(tmp_path, monkeypatch, indexed, named):
    monkeypatch.setattr(module, "ANN_FROM_CLIPS", 500 if indexed else 5000)
    monkeypatch.setattr(query_module, "_FEW_VIDEOS", 0)
    store, rows = filled(tmp_path, videos=60, windows=10)
    store.tidy()
    everywhere = [hit.path for hit in search(store, query_of(rows[7]), alpha=0.5, k=60)]
    assert sorted(everywhere) == sorted(row.path for row in rows)
    worst = everywhere[-6:] if named else sorted(everywhere)[20:30]
    asked, nearest = [], Store.nearest

    def counted(self, *args, **options):
        asked.append(nearest(self, *args, **options))
        return asked[-1]

    monkeypatch.setattr(Store, "nearest", counted)
    if not named:
        monkeypatch.setattr(library_tables, "_NAMED_VIDEOS", 0)
    hits = search(store, query_of(rows[7]), alpha=0.5, k=5, within=worst)
    assert [hit.path for hit in hits] == [path for path in everywhere if path in worst][:5]
    assert {path for found in asked for path, _ in found} <= set(worst)
    assert len(asked) <= 2 * len(rows[7].window)


@pytest.mark.parametrize(("alpha", "k", "message"), [(1.5, 1, "alpha is 1.5"), (0.5, 0, "k is 0")])
def test_arguments_out_of_range(tmp_path, alpha, k, message):
    store, rows = filled(tmp_path, videos=1)
    with pytest.raises(RSPNetError, match=message):
        search(store, query_of(rows[0]), alpha=alpha, k=k)
