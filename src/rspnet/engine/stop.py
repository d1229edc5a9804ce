"""Ending a run in good order when a person or a scheduler asks for it."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Self

import torch

from rspnet.core.distributed import is_distributed

STOPPED_EXIT_CODE = 130


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only sets a flag; a second one ends the process at once."""

    def __init__(self) -> None:
        self.received = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.received:
            os._exit(STOPPED_EXIT_CODE)
        self.received = True

    def agreed(self, device: torch.device) -> bool:
        """Whether any rank was asked to stop; every rank gets the same answer at the same step."""
        if not is_distributed():
            return self.received
        flag = torch.tensor(float(self.received), device=device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag.item())
