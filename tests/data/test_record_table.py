"""Records as one block of memory: the same records, also in the processes that share it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from helpers.tasks_for_workers import NameOf
from hypothesis import given
from hypothesis import strategies as st

from rspnet.core.urls import as_path
from rspnet.core.workers import Death, Replace, ordered_map
from rspnet.data.annotations import VideoRecord
from rspnet.data.record_table import RecordTable

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
RECORDS = st.lists(
    st.builds(
        lambda name, label, shown: VideoRecord(Path("/set") / name.strip("/."), name, label, shown),
        TEXT,
        st.none() | st.integers(-3, 2**40),
        st.none() | TEXT,
    ),
    max_size=8,
)


@given(RECORDS)
def test_records_come_back_as_they_were(records: list[VideoRecord]) -> None:
    for table in (RecordTable(records), pickle.loads(pickle.dumps(RecordTable(records)))):
        assert list(table) == records
        assert len(table) == len(records)
        assert table[1:] == records[1:]
        assert [table[place] for place in range(-len(records), 0)] == records
        with pytest.raises(IndexError):
            table[len(records)]


def test_names_that_are_no_text_and_urls() -> None:
    raw = os.fsdecode(b"/set/caf\xe9.mp4")
    records = [VideoRecord(Path(raw), raw), VideoRecord(as_path("s3://bucket/a b.mp4"), "a b.mp4", 3, "walk")]
    assert list(RecordTable(records)) == records


def test_workers_share_the_memory() -> None:
    def unexpected(task: int, death: Death) -> Replace[tuple[str, bool]]:
        raise AssertionError(f"{task} died: {death}")

    table = RecordTable([VideoRecord(Path(f"/set/{n}.mp4"), f"{n}.mp4") for n in range(1000)])
    found = list(ordered_map(NameOf(table), [3, 999, 0], workers=2, after_death=unexpected, hang_seconds=60))
    assert found == [("3.mp4", True), ("999.mp4", True), ("0.mp4", True)]
