"""Which clips of a video a sample shows: a pair at two speeds, or some clips with a label to be learned.

Imports neither torch nor NumPy before it computes: the options of methods speak of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rspnet.core.errors import ConfigError

if TYPE_CHECKING:
    from rspnet.data.sampler import PairSampler


class Speeds(NamedTuple):
    """Speeds that a user asks for: those that are fast, and the slow one that they are set against (the paper's is 1).

    Speed v shows every v-th frame.
    """

    fast: tuple[int, ...]
    base: int = 1

    @property
    def all(self) -> tuple[int, ...]:
        """From slow to fast."""
        return tuple(sorted({self.base, *self.fast}))


@dataclass(frozen=True)
class SpeedPairs:
    """A query and two keys, as RSP and A-VID need them: at the base speed and one of the fast speeds, which is drawn
    for each batch (see `PairSampler`)."""

    asked: Speeds

    @property
    def speeds(self) -> tuple[int, ...]:
        """All speeds that are played."""
        return self.asked.all

    def window(self, num_frames: int) -> int:
        """Ticks that a video must have evenly spaced for one sample of clips of `num_frames`."""
        from rspnet.video.clips import window_length

        return window_length(num_frames, self.speeds)


@dataclass(frozen=True)
class ClipPlan:
    """The clips of one sample.

    Attributes:
        speeds: speed of each clip, in the order in which they are shown.
        label: what the network is asked: a class number.
        order: empty where every clip has a random window of its own; else each shown clip's place in time among clips
            that follow one another (see `rspnet.video.clips.ordered_ticks`).
    """

    speeds: tuple[int, ...]
    label: int = 0
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class ClipTask:
    """Some clips of a video and a label; every batch holds its labels as evenly as its size allows.

    Attributes:
        rounds: for each batch one of these is drawn; it holds one plan for each label, in the labels' order.

    Raises:
        ConfigError: plans with other labels, or with unequal numbers of clips.
    """

    rounds: tuple[tuple[ClipPlan, ...], ...]

    def __post_init__(self) -> None:
        labels = {tuple(plan.label for plan in plans) for plans in self.rounds}
        if len(labels) != 1 or min(labels) != tuple(range(len(self.rounds[0]))) or not self.rounds[0]:
            raise ConfigError(f"every round must hold one plan for each of the labels 0, 1, ...; not {sorted(labels)}")
        counts = {len(plan.speeds) for plans in self.rounds for plan in plans}
        if len(counts) != 1 or min(counts) < 1:
            raise ConfigError(f"every plan must show the same number of clips, not {sorted(counts)}")

    @property
    def num_clips(self) -> int:
        """Clips of one sample."""
        return len(self.rounds[0][0].speeds)

    @property
    def num_classes(self) -> int:
        """Different labels; 1 where there is none to learn."""
        return len(self.rounds[0])

    @property
    def speeds(self) -> tuple[int, ...]:
        """All speeds that are played."""
        return tuple(sorted({speed for plans in self.rounds for plan in plans for speed in plan.speeds}))

    def window(self, num_frames: int) -> int:
        """Ticks of the window that every video must hold: equal for all plans, so that its place gives nothing away."""
        from rspnet.video.clips import ordered_length, window_length

        if any(plan.order for plans in self.rounds for plan in plans):
            return ordered_length(num_frames, self.num_clips)
        return window_length(num_frames, self.speeds)

    def plans(self, batch_size: int, *, seed: int, step: int) -> list[ClipPlan]:
        """What a global batch shows, a function of (seed, step)."""
        from rspnet.core.rng import numpy_rng

        rng = numpy_rng(seed, "clips", step)
        labels = (rng.permutation(batch_size) + rng.integers(self.num_classes)) % self.num_classes
        plans = self.rounds[int(rng.integers(len(self.rounds)))]
        return [plans[label] for label in labels]


@dataclass(frozen=True)
class ClipRequest:
    """One sample to make: which video, in which epoch and repeat of it (parts of the sample's seed), which clips."""

    index: int
    epoch: int
    repeat: int
    plan: ClipPlan


class ClipSampler:
    """The batches of a `PairSampler` with a task's clips in the place of pairs: the same videos at the same steps."""

    def __init__(self, pairs: PairSampler, task: ClipTask) -> None:
        self.pairs = pairs
        self.task = task
        self.batch_size = pairs.batch_size
        self.world_size = pairs.world_size
        self.start_step = pairs.start_step

    def __len__(self) -> int:
        """Batches this sampler gives."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[list[ClipRequest]]:
        """This rank's requests, one list a step."""
        return (self.requests(step) for step in range(self.start_step, self.pairs.total_steps))

    def requests(self, step: int) -> list[ClipRequest]:
        """This rank's requests of a step."""
        local = self.batch_size // self.world_size
        mine = slice(self.pairs.rank * local, (self.pairs.rank + 1) * local)
        plans: Sequence[ClipPlan] = self.task.plans(self.batch_size, seed=self.pairs.seed, step=step)
        return [
            ClipRequest(request.index, request.epoch, request.repeat, plan)
            for request, plan in zip(self.pairs.requests(step), plans[mine], strict=True)
        ]
