"""Test videos that nothing can get right: their class has no training video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rspnet.core.counts import counted
from rspnet.data.annotations import VideoRecord

_NAMED = 3


def unseen_classes(train: Sequence[VideoRecord], test: Sequence[VideoRecord]) -> str:
    """A sentence that names the test videos' classes without a training video; empty where there are none."""
    known = {record.label for record in train}
    counts = Counter(record.class_name or str(record.label) for record in test if record.label not in known)
    if not counts:
        return ""
    named = ", ".join(f"{name!r} ({counted(count, 'test video')})" for name, count in counts.most_common(_NAMED))
    more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
    return (
        f"no training video of {named}{more}: {counts.total()} of {counted(len(test), 'test video')} can only be wrong"
    )
