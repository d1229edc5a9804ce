"""Counting what would make the host wait for a GPU, where there is none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "unique_dim")


class CountWaits(TorchDispatchMode):
    """Counts operations that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._overloadpacket.__name__
        if name in WAITING or (name.startswith("index") and _has_mask(args)):
            self.found[name] += 1
        if name == "_to_copy" and _blocks(args[0], **kwargs):
            self.found["blocking copy"] += 1
        return func(*args, **(kwargs or {}))


class CountMade(TorchFunctionMode):
    """Counts numbers of Python made into tensors on another device, which waits there and is dispatched to no mode."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (
            func in (torch.tensor, torch.as_tensor)
            and torch.device((kwargs or {}).get("device") or "cpu").type != "cpu"
        ):
            self.count += 1
        return func(*args, **(kwargs or {}))


def _blocks(source: torch.Tensor, *, device: Any = None, non_blocking: bool = False, **_: Any) -> bool:
    """Whether a copy goes to another device and makes the host wait until it is there."""
    return device is not None and torch.device(device) != source.device and not non_blocking


def _has_mask(args: Any) -> bool:
    """Whether an indexing operation picks by a mask: how many it picks depends on the values."""
    places = args[1] if len(args) > 1 and isinstance(args[1], list) else []
    return any(isinstance(place, torch.Tensor) and place.dtype == torch.bool for place in places)
