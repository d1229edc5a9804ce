"""What to know of a split before its scores are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.groups import shared_groups
from rspnet.data.labelled.unseen import unseen_classes


def cautions(train: Sequence[VideoRecord], test: Sequence[VideoRecord]) -> Iterator[str]:
    """A sentence for test videos that nothing can get right, and one for those that are nearly trained on."""
    yield from filter(None, (unseen_classes(train, test), shared_groups(train, test)))
