"""Numbers of the host for a device, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """`values` of the CPU at `device`; the host does not wait for a GPU.

    A copy from ordinary memory (also `torch.tensor(..., device="cuda")`) makes the host wait until all work before it
    is done; one from page-locked memory does not, and torch keeps that memory until the copy has happened.
    """
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
