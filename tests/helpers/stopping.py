"""Ending a run in this process at a chosen step."""

from __future__ import annotations

import pytest

from rspnet.engine import loop


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the next run stop as for SIGTERM once `step` steps are done."""
    count = iter(range(10_000))
    monkeypatch.setattr(loop, "highest", lambda state, *_: loop._STOP if next(count) == step else state)
