"""The pretext tasks other than RSP and A-VID: which clips of a video one sample shows, and with which label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

from rspnet.core.errors import ConfigError
from rspnet.core.rng import numpy_rng
from rspnet.data.sampler import PairSampler
from rspnet.video.clips import ordered_length, window_length

TaskName = Literal["pace", "speednet", "moco", "order"]


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
    """One pretext task.

    - "pace": at which of the base speed and `speeds` does this clip play? (pace prediction, absolute speed)
    - "speednet": is this clip sped up? Half of each batch plays at the base speed, half at one of `speeds` drawn for
      the batch.
    - "moco": two clips of a video at the base speed; no label.
    - "order": in which order do `num_ordered` clips that follow one another in the video belong?

    Raises:
        ConfigError: unknown name, or fewer than 2 or more than 4 clips to put in order.
    """

    name: TaskName
    speeds: tuple[int, ...]
    num_ordered: int = 3
    base_speed: int = 1

    def __post_init__(self) -> None:
        if self.name not in get_args(TaskName):
            raise ConfigError(f"unknown pretext task {self.name!r}: one of {', '.join(get_args(TaskName))}")
        if not 2 <= self.num_ordered <= 4:
            raise ConfigError(f"order_clips is {self.num_ordered}, but must be 2, 3 or 4 (4 clips have 24 orders)")

    @property
    def num_clips(self) -> int:
        """Clips of one sample."""
        return {"moco": 2, "order": self.num_ordered}.get(self.name, 1)

    @property
    def num_classes(self) -> int:
        """Different labels; 1 where there is none to learn."""
        orders = len(self._orders())
        return {"pace": len(self._all_speeds()), "speednet": 2, "order": orders}.get(self.name, 1)

    def window(self, num_frames: int) -> int:
        """Ticks of the window that every video must hold: equal for all speeds, so that its place tells nothing."""
        if self.name == "order":
            return ordered_length(num_frames, self.num_ordered)
        return window_length(num_frames, [self.base_speed] if self.name == "moco" else self._all_speeds())

    def plans(self, batch_size: int, *, seed: int, step: int) -> list[ClipPlan]:
        """What a global batch shows, a function of (seed, step); labels are as even as the batch allows."""
        rng = numpy_rng(seed, "clips", step)
        labels = (rng.permutation(batch_size) + rng.integers(self.num_classes)) % self.num_classes
        if self.name == "moco":
            return [ClipPlan((self.base_speed, self.base_speed)) for _ in labels]
        if self.name == "order":
            orders, speeds = self._orders(), (1,) * self.num_ordered
            return [ClipPlan(speeds, int(label), orders[label]) for label in labels]
        played = self._all_speeds()
        if self.name == "speednet":
            played = (self.base_speed, self.speeds[int(rng.integers(len(self.speeds)))])
        return [ClipPlan((played[label],), int(label)) for label in labels]

    def _all_speeds(self) -> tuple[int, ...]:
        return tuple(sorted({self.base_speed, *self.speeds}))

    def _orders(self) -> list[tuple[int, ...]]:
        return list(permutations(range(self.num_ordered)))


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
