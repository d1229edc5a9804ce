"""Where hits stand in their library: ranks counted one by one, and in a sample of many videos."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from helpers.libraries import about, clip_rows, file_row

from rspnet.search import standing
from rspnet.search.query import Query, locate
from rspnet.search.standing import Rank, Yardstick


@pytest.fixture
def library():
    videos = {f"v{k:02d}": clip_rows(f"v{k:02d}", 1 + k % 4, dim=8, seed=k) for k in range(23)}
    store = SimpleNamespace(about=about(), clips_of=lambda paths: (videos[path] for path in paths))
    asked = videos["v05"]
    query = Query(asked.start_s, asked.end_s, asked.motion, asked.appearance, asked.content)
    return videos, store, query


def test_a_rank_is_one_more_than_the_videos_that_are_more_alike(library):
    videos, store, query = library
    yardstick = Yardstick(store, {path: file_row(rows) for path, rows in videos.items()})
    hits = [locate([query], rows, alpha=0.3, hop_s=1.0) for rows in videos.values()]
    found = yardstick.standings(hits, [query], alpha=0.3, not_same_video=False)
    for hit, place in zip(hits, found, strict=True):
        assert place.motion == Rank(1 + sum(other.motion > hit.motion + 1e-9 for other in hits), 23, True)
        assert place.appearance == Rank(1 + sum(other.appearance > hit.appearance + 1e-9 for other in hits), 23, True)
    assert str(found[5].motion) == "1st of 23"
    others = yardstick.standings(hits[:5], [query], alpha=0.3, not_same_video=True)
    assert {place.motion.of for place in others} == {22}  # without the query's own video


def test_a_large_library_is_held_against_a_sample(library, monkeypatch):
    videos, store, query = library
    monkeypatch.setattr(standing, "_MOST_VIDEOS", 10)
    yardstick = Yardstick(store, {path: file_row(rows) for path, rows in videos.items()})
    hit = locate([query], videos["v05"], alpha=1.0, hop_s=1.0)
    (place,) = yardstick.standings([hit], [query], alpha=1.0, not_same_video=False)
    assert not place.motion.is_exact
    assert place.motion.of in (10, 11)
    assert str(place.motion) == "top 10 %"


@pytest.mark.parametrize(
    ("rank", "of", "text"),
    [
        (2, 30, "2nd of 30"),
        (3, 30, "3rd of 30"),
        (11, 30, "11th of 30"),
        (22, 30, "22nd of 30"),
        (112, 1130, "112th of 1,130"),
    ],
)
def test_ranks_in_words(rank, of, text):
    assert str(Rank(rank, of, True)) == text


def test_the_share_falls_by_ratios():
    shares = [Rank(rank, 1000, True).share for rank in (1, 10, 100, 1000)]
    assert shares == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert Rank(1, 1, True).share == 1
