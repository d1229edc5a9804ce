"""Videos that had to be left out: named, counted, written down, and the end of the run when they are too many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError, TooManySkippedError
from rspnet.core.files import csv_text, utf8, write_text
from rspnet.core.ranks import rank

SKIPPED = "skipped.csv"
"""What the file is called in a run folder."""
_TOLD = 10


@dataclass(frozen=True)
class Skip:
    """A video that was left out, by its record's name, and why."""

    name: str
    reason: str


class SkipLog:
    """Collects skips over a run, distinct by name, in `path` (CSV: name, reason).

    Args:
        path: the file, made again by the first skip and added to by every further one; it need not exist before.
        num_videos: videos in the data set.
        max_share: distinct skipped videos allowed, as a share of `num_videos`; the default allows all.
        option: what sets `max_share`, for the message.
    """

    def __init__(
        self, path: Path, *, num_videos: int, max_share: float = 1.0, option: str = "--data.max_skipped"
    ) -> None:
        self.path = path
        self.num_videos = num_videos
        self.max_share = max_share
        self.option = option
        self._reasons: dict[str, str] = {}
        self._is_written = False

    def __len__(self) -> int:
        """Distinct videos skipped so far."""
        return len(self._reasons)

    def add(self, skipped: Iterable[Skip]) -> None:
        """Note skips; names already known change nothing.

        Raises:
            TooManySkippedError: the share of skipped videos is now above the limit (the file is written before).
        """
        before = len(self)
        for skip in skipped:
            self._reasons.setdefault(skip.name, skip.reason)
        if len(self) == before:
            return
        self._write_from(before)
        if len(self) > self.max_share * self.num_videos:
            first = self.first()
            raise TooManySkippedError(
                f"{len(self)} of {counted(self.num_videos, 'video')} ({len(self) / self.num_videos:.1%}) had to "
                f"be skipped, more than {self.option} {self.max_share:.1%} allows: raise it, or leave them out "
                f"(rspnet doctor VIDEOS --write_list LIST.csv); all are named in {str(self.path)!r}, "
                f"the first was {first.name!r}: {first.reason}"
            )

    def all(self) -> list[Skip]:
        """Every video that was skipped."""
        return [Skip(*item) for item in self._reasons.items()]

    def first(self) -> Skip:
        """The first video that was skipped."""
        return Skip(*next(iter(self._reasons.items())))

    def state_dict(self) -> dict[str, str]:
        """Reasons by name in the order of the names, which does not depend on when ranks exchanged them."""
        return dict(sorted(self._reasons.items()))

    def load_state_dict(self, state: dict[str, str]) -> None:
        """Continue from a checkpoint's `state_dict`; the file is rewritten if it holds any skip."""
        self._reasons = dict(state)
        self._is_written = False
        if self._reasons:
            self._write_from(0)

    def _write_from(self, first: int) -> None:
        """Bring the file up to date, which has the skips before number `first`."""
        if rank() > 0:  # several ranks hold the same log
            return
        if not self._is_written:
            write_text(self.path, csv_text([("name", "reason"), *self._reasons.items()]))
            self._is_written = True
            return
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(utf8(csv_text(islice(self._reasons.items(), first, None))))
        except OSError as error:
            raise RSPNetError(f"cannot write {str(self.path)!r}: {error.strerror or error}") from error


def tell_skipped(console: Console, skipped: Sequence[Skip], *, file: Path | None = None) -> None:
    """Print the first videos that were skipped, and why; `file` is where all of them stand."""
    for skip in skipped[:_TOLD]:
        console.print(f"skipped {skip.name!r}: {skip.reason}")
    if (more := len(skipped) - _TOLD) > 0:
        console.print(f"and {more} more{f': see {file}' if file else ''}")


def would_skip(bad: Sequence[Skip], *, tried: int) -> str:
    """For a dry run: how many of the videos that were tried would be skipped, and why the first; "" for none."""
    if not bad:
        return ""
    return f", of {tried} tried {len(bad)} would be skipped ({bad[0].name!r}: {bad[0].reason})"
