"""Batch-norm running statistics when a batch is encoded in groups, as N processes would do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rspnet.core.distributed import average_in_place


class GroupStatistics:
    """Lets every group start from the same running statistics and leaves their mean behind.

    While a group runs, batch norms hold fresh clones of their buffers: autograd remembers those, so writing the mean
    into the real ones later disturbs no graph that still awaits its backward pass. A single group writes to the real
    buffers at once.
    """

    def __init__(self, module: nn.Module, *, groups: int) -> None:
        self._norms = [
            part
            for part in (module.modules() if groups > 1 else ())
            if isinstance(part, _BatchNorm) and part.training and part.running_mean is not None
        ]
        self._originals = [dict(norm._buffers) for norm in self._norms]
        self._results: list[list[Tensor]] = []

    @contextmanager
    def group(self) -> Iterator[None]:
        """Encode one group inside."""
        for norm, buffers in zip(self._norms, self._originals, strict=True):
            norm._buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
        try:
            yield
            self._results.append(
                [value for norm in self._norms for value in norm._buffers.values() if value is not None]
            )
        finally:
            for norm, buffers in zip(self._norms, self._originals, strict=True):
                norm._buffers.update(buffers)

    @torch.no_grad()
    def finish(self) -> None:
        """Write the mean over the groups so far into the real buffers; counters advance as if there were one group."""
        originals = [value for buffers in self._originals for value in buffers.values() if value is not None]
        for original, *results in zip(originals, *self._results, strict=True):
            if original.is_floating_point():
                original.copy_(torch.stack(results).mean(dim=0))
            else:
                original.copy_(results[0])
        self._results.clear()


def average_statistics_over_ranks(*modules: nn.Module) -> None:
    """Replace all running means and variances by their mean over the real ranks, in one collective call."""
    average_in_place(
        [
            value
            for module in modules
            for part in module.modules()
            if isinstance(part, _BatchNorm)
            for value in part._buffers.values()
            if value is not None and value.is_floating_point()
        ]
    )
