"""Activation checkpointing: memory for time (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def run_and_forget(stage: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`stage(x)`, keeping only `x` for the backward pass, which runs the stage once more.

    Outputs, gradients and running statistics are those of `stage(x)` to the last bit: in train mode a batch norm's
    result does not depend on its running statistics, and the second run leaves them alone.
    """
    out: Tensor = checkpoint(
        stage, x, use_reentrant=False, preserve_rng_state=False, context_fn=partial(_contexts, _norms_of(stage))
    )
    return out


def _contexts(norms: list[_BatchNorm]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What surrounds the first and the second run."""
    return nullcontext(), _statistics_kept(norms)


@contextmanager
def _statistics_kept(norms: list[_BatchNorm]) -> Iterator[None]:
    """Batch norms write their statistics into copies that are thrown away."""
    buffers = [dict(norm._buffers) for norm in norms]
    for norm, own in zip(norms, buffers, strict=True):
        norm._buffers.update({name: value.clone() for name, value in own.items() if value is not None})
    try:
        yield
    finally:
        for norm, own in zip(norms, buffers, strict=True):
            norm._buffers.update(own)


def _norms_of(stage: Callable[[Tensor], Tensor]) -> list[_BatchNorm]:
    """Batch norms of the module that a stage is, or is a method of (then there may be more than it uses)."""
    owner = stage
    while isinstance(owner, partial):
        owner = owner.func
    owner = getattr(owner, "__self__", owner)
    return [part for part in owner.modules() if isinstance(part, _BatchNorm)] if isinstance(owner, nn.Module) else []
