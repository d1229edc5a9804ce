"""What a task says of itself while it runs in a worker process of `core.workers`: that it lives, and what it is at."""

from __future__ import annotations

from typing import Any

_progress: Any = None  # in a worker: two shared numbers: how often it reported progress, and its last note


def report_to(progress: Any) -> None:
    """In a worker: where reports go, two shared numbers (how often there was progress, and the last note)."""
    global _progress
    _progress = progress


def note(number: int) -> None:
    """In a task: say what is being worked on now, so that a crash can be blamed on it. Does nothing elsewhere."""
    if _progress is not None:
        _progress[1] = number
        _progress[0] += 1


def alive() -> None:
    """In a task: say that work goes on, so that a long task is not taken for hung. Does nothing elsewhere."""
    if _progress is not None:
        _progress[0] += 1
