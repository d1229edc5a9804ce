"""Threads and loader workers: from the work of a clip and the number of cores, never from a measurement."""

from __future__ import annotations

import pytest
import torch

from rspnet.engine import runtime
from rspnet.engine.multiply_adds import multiply_adds
from rspnet.engine.runtime import pick_threads_and_workers
from rspnet.models.registry import create_backbone

CPU = torch.device("cpu")
SLIM = ("r3d_10_slim", 8, 48)
R3D = ("r3d_18", 16, 112)


@pytest.mark.parametrize(
    ("network", "cores", "processes", "chosen"),
    [
        (SLIM, 2, 1, (1, 1)),  # measured: 101 clips/s, 84 with two threads (docs/benchmarks.md)
        (R3D, 2, 1, (2, 1)),  # measured: 5.9 clips/s, 3.8 with one thread
        (SLIM, 1, 1, (1, 1)),
        (R3D, 1, 1, (1, 1)),
        (R3D, 2, 2, (1, 1)),
        (SLIM, 16, 1, (5, 11)),
        (R3D, 16, 1, (15, 4)),
        (R3D, 16, 4, (4, 1)),
    ],
)
def test_the_work_of_a_clip_decides(
    network: tuple[str, int, int], cores: int, processes: int, chosen: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: cores)
    name, frames, size = network
    with torch.device("meta"):
        backbone = create_backbone(name)
    got = pick_threads_and_workers(
        threads=None,
        workers=None,
        device=CPU,
        processes=processes,
        work=lambda: 5 * multiply_adds(backbone, (3, frames, size, size)),
    )
    assert got == chosen


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 8)

    def work() -> int:
        pytest.fail("counted for nothing")

    for device, threads, workers, chosen in (
        (CPU, 3, 0, (3, 0)),
        (CPU, 3, None, (3, 5)),
        (CPU, 8, None, (8, 2)),
        (torch.device("cuda"), None, None, (1, 7)),
        (torch.device("cuda"), None, 2, (1, 2)),
    ):
        got = pick_threads_and_workers(threads=threads, workers=workers, device=device, processes=1, work=work)
        assert got == chosen
