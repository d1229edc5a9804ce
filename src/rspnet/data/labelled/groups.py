"""Clips that were cut from one recording, by their names: they are nearly copies of each other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rspnet.core.counts import counted
from rspnet.data.annotations import VideoRecord

# UCF101 cuts several clips from one video; clips of one group must not be on both sides of a fold.
_GROUP = re.compile(r"_(g\d+)_c\d+")


def groups_of(records: Sequence[VideoRecord]) -> list[str] | None:
    """The group of every video (class and gNN of its UCF101 name), or None unless all names carry one."""
    found = [_GROUP.search(record.path.stem) for record in records]
    groups = [f"{r.label}-{match[1]}" for r, match in zip(records, found, strict=True) if match is not None]
    return groups if len(groups) == len(records) else None


def shared_groups(train: Sequence[VideoRecord], test: Sequence[VideoRecord]) -> str:
    """A sentence that says how many test videos are of a group that is trained on; empty where none is."""
    ours, theirs = groups_of(train), groups_of(test)
    if ours is None or theirs is None:
        return ""
    known = set(ours)
    count = sum(group in known for group in theirs)
    if not count:
        return ""
    return (
        f"{counted(count, 'test video')} of {len(test)} are of groups that are trained on (gNN in their names: cuts of "
        "one recording): scores are higher than those of new videos; split by group, in a list with the column split"
    )
