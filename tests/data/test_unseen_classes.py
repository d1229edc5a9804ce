"""Test videos whose class has no training video are named."""

from pathlib import Path

from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.unseen import unseen_classes


def records(*labels: int) -> list[VideoRecord]:
    return [VideoRecord(Path(f"{place}"), f"{place}", label, f"c{label}") for place, label in enumerate(labels)]


def test_the_most_frequent_come_first_and_the_rest_are_counted() -> None:
    assert unseen_classes(records(0, 1), records(1, 0, 0)) == ""
    assert unseen_classes(records(0), records(0, 7)) == (
        "no training video of 'c7' (1 test video): 1 of 2 test videos can only be wrong"
    )
    text = unseen_classes(records(0), records(0, 1, 2, 2, 3, 4))
    assert text.startswith(
        "no training video of 'c2' (2 test videos), 'c1' (1 test video), 'c3' (1 test video) and 1 more"
    )
    assert ": 5 of 6 test videos can only be wrong" in text
