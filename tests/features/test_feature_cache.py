"""Feature vectors found again by the content of their videos, which is read once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rspnet.core.urls import content_of
from rspnet.features import feature_cache
from rspnet.features.feature_cache import ContentNotes, FeatureCache


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read for their hash."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return content_of(path)

    monkeypatch.setattr(feature_cache, "content_of", counted)
    return names


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, hashed: list[str]) -> None:
    old, fresh = tmp_path / "old.mp4", tmp_path / "fresh.mp4"
    for path in (old, fresh):
        path.write_bytes(b"x")
    os.utime(old, (1000, 1000))
    for _ in range(2):  # two runs
        cache = FeatureCache(tmp_path / "cache", tensors_sha256="w", view={})
        assert hashed or (cache.get(old) is None and not hashed)  # nothing is kept: no file is read
        cache.folder.mkdir(parents=True, exist_ok=True)
        assert [cache.get(path) for path in (old, old, fresh, fresh)] == [None] * 4
    assert hashed == ["old.mp4", "fresh.mp4", "fresh.mp4"]  # what has just changed is not trusted from run to run
    cache.put(old, np.ones(2, np.float32))
    old.write_bytes(b"y")
    os.utime(old, (1000, 2000))
    assert cache.get(old) is None
    assert hashed[3:] == ["old.mp4"]


def test_notes_that_are_damaged_are_no_notes(tmp_path: Path, hashed: list[str]) -> None:
    video, notes = tmp_path / "a.mp4", tmp_path / "contents.jsonl"
    video.write_bytes(b"x")
    os.utime(video, (1000, 1000))
    found = ContentNotes(notes).content(video)
    text = notes.read_text()
    notes.write_text("[1, 2\nnull\n{}\n" + text + text[:20])
    assert ContentNotes(notes).content(video) == found
    assert hashed == ["a.mp4"]


def test_what_is_no_file_has_no_vector(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")  # reading it would wait for ever
    cache = FeatureCache(tmp_path / "cache", tensors_sha256="w", view={})
    assert cache.get(tmp_path / "pipe.mp4") is None
    with pytest.raises(OSError, match="not a regular file"):
        cache.put(tmp_path / "pipe.mp4", np.ones(2, np.float32))
