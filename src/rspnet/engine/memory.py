"""How much memory a training step will need, computed without running it, and what to say where it was too much."""

from __future__ import annotations

import copy
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rspnet.core.errors import NotEnoughMemoryError, is_out_of_memory
from rspnet.models.backbone import Backbone

_GIBIBYTE = 2**30


def saved_activation_bytes(module: nn.Module, clip_shape: tuple[int, int, int, int], *, clips: int = 2) -> int:
    """Float32 bytes that one clip [C, T, H, W] leaves behind in the forward pass for the backward pass.

    Runs the module on the meta device, where tensors have shapes but no memory, and counts every distinct tensor that
    autograd saves (parameters aside). Of a backbone that recomputes: the inputs of its stages, and what the largest of
    them saves while it runs again.
    """
    shadow = copy.deepcopy(module).to("meta").train()
    x = torch.empty(clips, *clip_shape, device="meta")
    if not (isinstance(shadow, Backbone) and shadow.recompute):
        return _run(shadow, x)[0] // clips
    kept, largest = 0, 0
    for stage in shadow.stages():
        kept += x.numel() * 4
        saved, x = _run(stage, x)
        largest = max(largest, saved)
    return (kept + largest) // clips


def _run(module: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, Tensor]:
    """Float32 bytes that `module(x)` saves for its backward pass, and its output."""
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() and not isinstance(tensor, nn.Parameter):
            saved[id(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module(x)
    return sum(tensor.numel() for tensor in saved.values()) * 4, output.detach()


def state_bytes(module: nn.Module, *, optimizer_copies: int) -> int:
    """Float32 bytes of the parameters, their gradients and `optimizer_copies` values each that the optimiser keeps."""
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return parameters * 4 * (2 + optimizer_copies)


def training_bytes(module: nn.Module, clip_shape: tuple[int, int, int, int], *, clips: int, halved: bool) -> int:
    """Bytes that training a network with SGD needs: activations of `clips` (2-byte ones if `halved`) and its state."""
    activations = saved_activation_bytes(module, clip_shape) * clips
    return activations // (2 if halved else 1) + state_bytes(module, optimizer_copies=1)


@contextmanager
def memory_advice(*, estimate: Callable[[], int], lower: str) -> Iterator[None]:
    """Turn running out of memory inside into an error that says what to do.

    Args:
        estimate: bytes a process needs, worked out only where it is wanted.
        lower: the options that lower it.

    Raises:
        NotEnoughMemoryError: memory of the machine or of the GPU ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise NotEnoughMemoryError(
            f"out of memory: training needs about {estimate() / _GIBIBYTE:.1f} GiB a process (an estimate; "
            f"this one has used up to {_used()}): {lower}"
        ) from error


def _used() -> str:
    """The most memory this process has had: of the GPU where it computes on one, else of the machine."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return f"{torch.cuda.max_memory_reserved() / _GIBIBYTE:.1f} of the GPU's {total / _GIBIBYTE:.1f} GiB"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIBIBYTE:.1f} GiB of the machine's"
