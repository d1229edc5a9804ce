"""Copies one batch ahead, with streams that only write down what is asked of them: no GPU here has run this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from rspnet.data.batches import PairBatch
from rspnet.data.clip_sets import ClipBatch
from rspnet.data.labelled_clips import LabelledBatch
from rspnet.engine.prefetch import _on_gpu, one_ahead, prefetched

GPU = torch.device("cuda", 0)


class OnGpu(Tensor):
    """Says that it is on a GPU, and notes the streams that use it."""

    is_cuda = True  # type: ignore[assignment]

    def record_stream(self, stream: Any) -> None:
        stream.events.append(f"compute uses {int(self[0])}")


@dataclass(frozen=True)
class Batch:
    clips: tuple[Tensor, ...]
    seeds: Tensor
    name: str
    cuda: FakeCuda

    def pin_memory(self) -> Batch:
        return replace(self, name=self.name + " pinned")

    def to(self, device: torch.device, *, non_blocking: bool) -> Batch:
        assert device == GPU
        assert non_blocking
        assert self.name.endswith("pinned")
        self.cuda.events.append(f"{self.cuda.current} copies {int(self.seeds[0])}")
        return replace(self, clips=tuple(clip.as_subclass(OnGpu) for clip in self.clips))


class FakeStream:
    def __init__(self, name: str, events: list[str]) -> None:
        self.name, self.events, self._count = name, events, 0

    def record_event(self) -> str:
        self._count += 1
        return f"{self.name} event {self._count}"

    def wait_event(self, event: str) -> None:
        self.events.append(f"{self.name} waits for {event}")


class FakeCuda:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.current = "compute"

    def Stream(self, device: torch.device) -> FakeStream:  # noqa: N802 - torch's name
        assert device == GPU
        return FakeStream("side", self.events)

    def current_stream(self, device: torch.device) -> FakeStream:
        assert device == GPU
        return FakeStream(self.current, self.events)

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        self.current = stream.name
        yield
        self.current = "compute"


def batches(cuda: FakeCuda, count: int) -> Iterator[Batch]:
    for number in range(count):
        yield Batch((torch.tensor([number]),), torch.tensor([number]), f"batch {number}", cuda)


def test_copies_run_one_ahead_on_their_own_stream() -> None:
    cuda = FakeCuda()
    for batch in prefetched(batches(cuda, 3), GPU, cuda=cuda):
        cuda.events.append(f"step {int(batch.seeds[0])}")
    assert cuda.events == [
        "side copies 0",
        "side copies 1",
        "compute waits for side event 1",
        "compute uses 0",
        "step 0",
        "side copies 2",
        "compute waits for side event 2",
        "compute uses 1",
        "step 1",
        "compute waits for side event 3",
        "compute uses 2",
        "step 2",
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_nothing_is_lost_or_moved(count: int) -> None:
    assert list(one_ahead(range(count))) == list(range(count))


def test_an_error_comes_in_its_place_and_only_one_item_is_drawn_ahead() -> None:
    drawn = []

    def failing() -> Iterator[int]:
        for number in range(3):
            drawn.append(number)
            yield number
        raise KeyError("fourth")

    source = one_ahead(failing())
    assert drawn == []
    assert [(next(source), len(drawn)) for _ in range(3)] == [(0, 2), (1, 3), (2, 3)]
    with pytest.raises(KeyError, match="fourth"):
        next(source)


def test_a_stop_is_not_held_back() -> None:
    """A stop ends the wait for the next batch at once; the batch held is read again at the resume."""

    def stopped() -> Iterator[int]:
        yield 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(one_ahead(stopped()))


def test_on_a_cpu_the_batches_are_the_loaders_own() -> None:
    source = batches(FakeCuda(), 2)
    assert prefetched(source, torch.device("cpu")) is source


def test_every_training_batch_can_be_moved() -> None:
    """What a batch takes to the GPU, its memory is guarded for; what stays on the CPU by contract stays."""
    x = torch.zeros(2)
    pair = PairBatch(*[x] * 9, skipped=[])
    clips = ClipBatch((x, x), (x, x), (x, x), x, x, [])
    labelled = LabelledBatch(x, x, [], [])
    for batch, moved in ((pair, 4), (clips, 3), (labelled, 2)):
        on_gpu = cast(Any, batch).to("meta", non_blocking=True)  # any other device will do
        values = [value for value in vars(on_gpu).values() if value != []]
        flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
        assert sum(part.device.type == "meta" for part in flat) == moved
        assert list(_on_gpu(on_gpu)) == []
        marked = {name: _marked(value) for name, value in vars(on_gpu).items()}
        assert len(list(_on_gpu(replace(cast(Any, batch), **marked)))) == moved


def _marked(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_marked(part) for part in value)
    on_meta = isinstance(value, Tensor) and value.device.type == "meta"
    return torch.zeros(2).as_subclass(OnGpu) if on_meta else value
