"""Several clips in one search, wanted and unwanted, on hand-made vectors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import need
from helpers.libraries import about, clip_rows, file_row
from reference.align_reference import best_run, several

from rspnet.config.search import SearchConfig
from rspnet.core.errors import RSPNetError
from rspnet.search.hit_sheet import _named
from rspnet.search.library import Library
from rspnet.search.library_store import Store
from rspnet.search.query import Query, locate, pieces_beside, search
from rspnet.search.search_command import below_one_folder, clip_of, search_command

need("lancedb")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    store = Store.open_or_create(str(tmp_path_factory.mktemp("several") / "lib"), about())
    rows = [clip_rows(f"/v/{n}'s.mp4", 6, dim=8, seed=n) for n in range(8)]
    store.replace([file_row(row) for row in rows], rows)
    return store, rows


def query_of(row, windows=slice(None)):
    return Query(row.start_s[windows], row.end_s[windows], row.motion[windows], row.appearance[windows], row.content)


def blend(*rows, share=0.5):
    """A query between the first window of two videos."""
    parts = []
    for head in ("motion", "appearance"):
        mixed = sum(getattr(row, head)[:1] for row in rows)
        parts.append((mixed / np.linalg.norm(mixed)).astype(np.float32))
    return Query(rows[0].start_s[:1], rows[0].end_s[:1], *parts)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("wanted", "unwanted"), [((0, 1), ()), ((0,), (1,)), ((0, 1, 2), (3, 4))])
def test_scores_are_those_of_trying_every_run(filled, alpha, wanted, unwanted):
    store, _ = filled
    queries = [query_of(clip_rows("q", 1 + n % 3, dim=8, seed=50 + n)) for n in range(5)]
    like, unlike = [queries[n] for n in wanted], [queries[n] for n in unwanted]
    hits = search(store, like, unlike=unlike, alpha=alpha, k=8)
    assert len(hits) == 8
    for hit in hits:
        (video,) = store.clips_of([hit.path])
        windows = np.stack([video.motion, video.appearance], axis=1)
        pairs = [[(query.motion, query.appearance) for query in side] for side in (like, unlike)]
        assert hit.score == pytest.approx(several(*pairs, windows, alpha=alpha), abs=1e-6)
        assert hit.score == alpha * hit.motion + (1 - alpha) * hit.appearance
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_an_unwanted_clip_puts_its_video_behind_what_else_is_alike(filled):
    store, rows = filled
    query = blend(rows[2], rows[5])
    first = {hit.path for hit in search(store, query, alpha=0.5, k=2)}
    assert first == {rows[2].path, rows[5].path}
    for unwanted, left in ((rows[2], rows[5]), (rows[5], rows[2])):
        hits = search(store, [query], unlike=[query_of(unwanted, slice(1))], alpha=0.5, k=8)
        assert hits[0].path == left.path
        assert unwanted.path not in {hit.path for hit in hits[:2]}


def test_two_wanted_clips_find_both_of_their_videos_and_one_stays_as_it_was(filled):
    store, rows = filled
    both = search(store, [query_of(rows[1]), query_of(rows[6])], alpha=0.5, k=2, same_part=True)
    assert {hit.path for hit in both} == {rows[1].path, rows[6].path}
    (video,) = store.clips_of([rows[1].path])
    alone = locate([query_of(rows[1])], video, alpha=0.5, hop_s=1.0)
    assert (alone.score, alone.windows) == (pytest.approx(1, abs=1e-6), 6)
    others = search(store, [query_of(rows[1]), query_of(rows[6])], alpha=0.5, k=50, not_same_video=True)
    assert {hit.path for hit in others} == {row.path for row in rows} - {rows[1].path, rows[6].path}
    with pytest.raises(RSPNetError, match="there is no clip to search with"):
        search(store, [], alpha=0.5, k=1)


def test_a_part_of_a_video_by_name(tmp_path):
    assert clip_of("a@b.mp4@1.5-3") == ("a@b.mp4", 1.5, 3.0)
    assert clip_of("a.mp4@2-") == ("a.mp4", 2.0, None)
    assert clip_of("a.mp4@x-3") == ("a.mp4@x-3", 0.0, None)
    (tmp_path / "a.mp4@1-2").touch()
    assert clip_of(f"{tmp_path}/a.mp4@1-2") == (f"{tmp_path}/a.mp4@1-2", 0.0, None)
    with pytest.raises(RSPNetError, match=r"'a.mp4@3-2': the end, 2, must come after the start"):
        clip_of("a.mp4@3-2")


def test_what_a_query_shows_itself_is_no_hit(filled):
    store, rows = filled
    query = query_of(rows[1], slice(1, 3))
    first = search(store, query, alpha=0.5, k=1, same_part=True)[0]
    assert (first.path, first.start_s) == (rows[1].path, pytest.approx(1, abs=0.2))
    others = search(store, query, alpha=0.5, k=50)
    assert len(others) == len(rows)  # its own video has other moments
    own = next(hit for hit in others if hit.path == rows[1].path)
    assert abs(own.start_s - query.start_s[0]) >= 1  # a part may begin where the query ends
    assert own.score < first.score
    assert all(hit.path != rows[1].path for hit in search(store, query_of(rows[1]), alpha=0.5, k=50))
    (rest,) = pieces_beside(rows[1], [query])
    assert rest.start_s.tolist() == [
        n for n in range(6) if rows[1].end_s[n] <= query.start_s[0] or rows[1].start_s[n] >= query.end_s[-1]
    ]
    assert pieces_beside(rows[2], [query]) == [rows[2]]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("cuts", [[(4, 6)], [(4, 6), (11, 12)], [(0, 3)], [(7, 16)], [(5, 7), (6, 9)]])
@pytest.mark.parametrize("unread", [(), (7, 8), (4, 5, 6)])
def test_a_hit_in_a_querys_own_video_lies_beside_all_queries(tmp_path, alpha, cuts, unread):
    """Queries by place are cut from the video, by vectors they are like all of it: the best run may cross them."""
    store = Store.open_or_create(str(tmp_path / "lib"), about())
    whole = clip_rows("/v/own.mp4", 16, dim=8, seed=0)
    read = np.array([n for n in range(16) if n not in unread])
    columns = ("window", "start_s", "end_s", "motion", "appearance", "features")
    own = replace(whole, **{name: getattr(whole, name)[read] for name in columns})
    store.replace([file_row(own)], [own])
    for seed in range(20):
        queries = []
        for start, stop in cuts:
            drawn = clip_rows("q", stop - start, dim=8, seed=100 * seed + start)
            times = drawn.start_s + start, drawn.end_s + start
            queries.append(Query(*times, drawn.motion, drawn.appearance, own.content))
        taken = [any(n + 2 > q.start_s[0] and n < q.end_s[-1] for q in queries) for n in range(16)]
        hits = search(store, queries, alpha=alpha, k=5)
        assert len(hits) == (not all(taken[n] for n in read))
        for hit in hits:
            assert hit.start_s < hit.end_s
            assert all(hit.end_s <= q.start_s[0] + 1e-6 or hit.start_s >= q.end_s[-1] - 1e-6 for q in queries)
        if hits and len(queries) == 1:
            kind = "motion" if alpha else "appearance"
            table = getattr(queries[0], kind).astype(float) @ getattr(whole, kind).astype(float).T
            table[:, list(unread)] = 0
            table[:, taken] = -np.inf
            assert hits[0].score == pytest.approx(best_run(table), abs=1e-6)


def test_paths_are_shown_below_the_folder_of_all_of_them():
    assert below_one_folder(["/v/a/1.mp4", "/v/b/2.mp4"]) == (["a/1.mp4", "b/2.mp4"], "/v")
    assert below_one_folder(["/v/a/1.mp4"]) == (["1.mp4"], "/v/a")
    assert below_one_folder(["/a.mp4", "/b.mp4"]) == (["/a.mp4", "/b.mp4"], "")
    assert below_one_folder(["s3://v/a.mp4", "s3://v/b.mp4"]) == (["s3://v/a.mp4", "s3://v/b.mp4"], "")


@pytest.mark.parametrize("clips", ["a.mp4", ["a.mp4"], [Path("a.mp4")]])
def test_only_clips_are_asked_with(clips):
    with pytest.raises(RSPNetError, match=r"search_like takes lists of rspnet\.ClipOf, not "):
        Library.search_like(object.__new__(Library), clips)


@pytest.mark.parametrize(
    ("text", "title"),
    [("d/a.mp4", "a.mp4"), ("d/a.mp4@2-4.5", "a.mp4, 2 to 4.5 s"), ("d/a.mp4@2-", "a.mp4, 2 s to its end")],
)
def test_a_sheet_names_the_part_that_was_asked_with(text, title):
    assert _named(clip_of(text)) == title


@pytest.mark.parametrize(
    ("start", "end"),
    [(1.0, 0.5), (0.0, 0.0), (0.0, -1.0), (-1.0, None), (float("nan"), None), (0.0, float("nan")), ("1", 2)],
)
def test_a_part_that_is_none_is_refused(start, end):
    """Before anything is read: an end before the start would find moments of negative length."""
    library = object.__new__(Library)
    for asked in (
        lambda: library.search("a.mp4", start_s=start, end_s=end),
        lambda: library.embed("a.mp4", start_s=start, end_s=end),
    ):
        with pytest.raises(RSPNetError, match=r"'a\.mp4': (start_s|end_s) is "):
            asked()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("hits.csv", "--out 'hits.csv': no such files are written; name hits.json, hits.png or a folder"),
        ("x.txt", "--out 'x.txt': no such files are written; name"),
        ("hits.PNG", "--out 'hits.PNG': no such files are written; name"),
        ("file", "--out 'file' is a file: name a folder"),
        ("file/hits.json", "--out 'file' is a file: name a folder"),
        ("folder.png", "--out 'folder.png' is a folder that ends like a file: name another one"),
        ("s3://bucket/hits.json", "--out 's3://bucket/hits.json' is an address: "),
        ("other", "--out 'other' holds a run of rspnet embed: name another folder"),
        ("run.v2", "'nowhere' is no library"),
        ("new/hits.json", "'nowhere' is no library"),
        ("file.csv", "--out 'file.csv' is a file: name a folder"),
    ],
)
def test_where_results_cannot_go_is_said_before_anything_is_searched(tmp_path, monkeypatch, out, message):
    monkeypatch.chdir(tmp_path)
    for name in ("file", "file.csv", "query.mp4"):
        Path(name).touch()
    for name in ("folder.png", "other"):
        Path(name).mkdir()
    Path("other/config.yaml").write_text("# rspnet embed\n")
    with pytest.raises(RSPNetError, match=f"^{re.escape(message)}"):
        search_command(SearchConfig("nowhere", ["query.mp4"], out=out))
