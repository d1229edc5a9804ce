"""What a run ends with: whether it went well, in plain words, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p
from typing import Any

from rich.console import Console

from rspnet.core.counts import counted
from rspnet.core.plugins import with_plugins
from rspnet.features.scores import Interval

_FEW_DIRECTIONS = 0.1
"""Share of the directions there could be, below which vectors are called collapsed."""
_UNLIKELY = 0.025
"""What guessing reaches more seldom than this is taken for knowledge: the upper end of a 95 % interval."""
_WHAT_HELPS = "train longer, or on more videos"


@dataclass(frozen=True)
class Finding:
    """A sentence of a verdict, and whether the run may be built on as far as it tells."""

    text: str
    is_good: bool


@dataclass(frozen=True)
class Verdict:
    """How a run went.

    Attributes:
        lines: sentences.
        commands: (command, what it gives), those that come next; they are said with the plug-ins of this one.
    """

    lines: Sequence[str]
    commands: Sequence[tuple[str, str]] = ()

    def as_ending(self) -> dict[str, Any]:
        """For result.json, from which a report opens with it."""
        return {"verdict": list(self.lines), "next": [with_plugins(command) for command, _ in self.commands]}

    def print_to(self, console: Console) -> None:
        """Print all of it, each on a line that can be copied."""
        for line in self.lines:
            console.print(line)
        for command, what in self.commands:
            console.print(f"next: {with_plugins(command)}    # {what}")


def rsp_line(accuracy: float, clips: int, *, held_out: int = 0, fresh: float = 0.64) -> Finding:
    """How well the relative speed was told, against guessing.

    Args:
        accuracy: mean share of right answers, on clips that were never drawn before.
        clips: how many.
        held_out: number of videos they are of, which were not trained on; 0: they are of the training videos.
        fresh: what the network reached with fresh weights; the default is that of small-cpu on drawn videos (README).
    """
    error = (0.25 / max(1, clips)) ** 0.5  # of guessing
    is_learned = accuracy - max(0.5, fresh) > 3 * error
    judged = "speed is learned" if is_learned else f"hardly more than fresh weights tell: {_WHAT_HELPS}"
    if accuracy - 0.5 <= 3 * error:
        judged = f"nothing of speed is learned yet: {_WHAT_HELPS}"
    told = f"{counted(held_out, 'video')} that were not trained on" if held_out else "new clips of the training videos"
    before = f", {fresh:.0%} before training" if held_out else ""
    return Finding(f"RSP: {accuracy:.0%} right on {told}{before}, guessing gives 50 %; {judged}", is_learned)


def named_for_shell(root: str | None, listed: str | None) -> tuple[str, str]:
    """How `rspnet pretrain` is told of videos, and how commands without a list are: by the folder where there is one.

    Args:
        root: the folder of the videos, or None.
        listed: their list, or None; without `root` whatever holds the videos.
    """
    places = [shlex.quote(place) for place in (root, listed) if place]
    return " --data.list ".join(places), places[0]


def rank_line(spread: Mapping[str, float], *, count: int, length: int) -> Finding:
    """Whether vectors have collapsed.

    Args:
        spread: `mean_cosine` and `effective_rank` of the vectors (`rspnet.engine.diagnostics.vector_spread`).
        count: how many vectors.
        length: of each.
    """
    rank, most = spread["effective_rank"], min(count - 1, length)
    is_collapsed = rank < _FEW_DIRECTIONS * most
    judged = "collapsed: all videos look the same to it" if is_collapsed else "no collapse"
    along = f"{rank:.1f} directions of {most} possible ({counted(count, 'clip')})"
    return Finding(f"vectors of appearance: they differ along {along}; {judged}", not is_collapsed)


def score_line(name: str, row: Interval | Mapping[str, float], *, chance: float, videos: int) -> str:
    """A share of right answers with its interval, against the share that guessing gives.

    Above guessing is what the interval excludes and guessing seldom reaches: of a few videos an interval by bootstrap
    is too narrow.
    """
    value, low, high = (row.value, row.low, row.high) if isinstance(row, Interval) else _of(row)
    is_above = low > chance and _by_guessing(round(value * videos), videos, chance=chance) < _UNLIKELY
    judged = "above guessing" if is_above else "not above guessing"
    score = f"{value:.1%} [{low:.1%}, {high:.1%}] of {counted(videos, 'test video')}"
    return f"{name}: {score}, guessing gives {chance:.1%}; {judged}"


def _by_guessing(right: int, count: int, *, chance: float) -> float:
    """How likely guessing answers so many of `count` questions right, or more."""
    if chance == 1:
        return 1.0
    ways = (lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1) for hits in range(right, count + 1))
    return sum(exp(way + hits * log(chance) + (count - hits) * log1p(-chance)) for hits, way in enumerate(ways, right))


def _of(row: Mapping[str, float]) -> tuple[float, float, float]:
    return row["value"], row["low"], row["high"]


REPORT = "rspnet report"


def report_command(folder: object, *, shows: str) -> tuple[str, str]:
    """The command that shows a run, and what its page shows of it besides the settings."""
    return f"{REPORT} {shlex.quote(str(folder))}", f"{shows}, settings in one page"
