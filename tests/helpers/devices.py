"""Where the tests marked `cuda` run: on the GPU where there is one, else, so that they stay right, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from helpers.waits import CountWaits

DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
needs_gpu = pytest.mark.skipif(DEVICE.type == "cpu", reason="no GPU here, and on a CPU there is nothing to see")


@contextmanager
def no_tf32() -> Iterator[None]:
    """Convolutions and matrix products of float32 as they are written, not in TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def waiting_forbidden() -> Iterator[None]:
    """No operation inside makes the host wait for a GPU: there torch itself raises, on a CPU such ones are counted."""
    if DEVICE.type == "cpu":
        with CountWaits() as mode:
            yield
        assert not mode.found
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
