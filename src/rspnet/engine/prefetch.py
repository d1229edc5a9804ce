"""Copying the next batch to a GPU while it computes on this one. On a CPU there is nothing to copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor


class Movable(Protocol):
    """A batch: a frozen dataclass whose fields are tensors, tuples of them, or other things."""

    def pin_memory(self) -> Self:
        """The batch in page-locked memory."""

    def to(self, device: torch.device, *, non_blocking: bool) -> Self:
        """The batch with what the GPU computes on at `device`."""


Batch = TypeVar("Batch", bound=Movable)
Item = TypeVar("Item")


def prefetched(batches: Iterable[Batch], device: torch.device, *, cuda: Any = torch.cuda) -> Iterable[Batch]:
    """The same batches in the same order; with CUDA at `device`, one ahead.

    The copies run on a stream of their own. The stream that computes waits for the copy of its batch, not for that of
    the next one, and the batch's memory is not used again before it is done with it. The host never waits.

    Args:
        batches: on the CPU.
        device: where the training runs.
        cuda: streams and events are made by this module.
    """
    return _handed_over(_copies(batches, device, cuda), device, cuda) if device.type == "cuda" else batches


def _copies(batches: Iterable[Batch], device: torch.device, cuda: Any) -> Iterator[tuple[Batch, Any]]:
    """Each batch's copy, started, and the event of its end."""
    stream = cuda.Stream(device)
    for batch in batches:
        with cuda.stream(stream):
            copy = batch.pin_memory().to(device, non_blocking=True)
        yield copy, stream.record_event()


def _handed_over(copies: Iterable[tuple[Batch, Any]], device: torch.device, cuda: Any) -> Iterator[Batch]:
    for batch, copied in one_ahead(copies):
        stream = cuda.current_stream(device)
        stream.wait_event(copied)
        for tensor in _on_gpu(batch):
            tensor.record_stream(stream)
        yield batch


def _on_gpu(batch: Any) -> Iterator[Tensor]:
    for field in fields(batch):
        value = getattr(batch, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Tensor) and part.is_cuda:
                yield part


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each drawn before the previous item is given out; an error in drawing comes in its place."""
    source = iter(items)
    held = list(islice(source, 1))
    while held:
        failure = None
        try:
            following = list(islice(source, 1))
        except Exception as error:
            following, failure = [], error
        yield held.pop()
        if failure is not None:
            raise failure
        held = following
