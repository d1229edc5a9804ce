"""N virtual ranks in one process are N gloo processes: losses, weights, statistics and queue after some SGD steps."""

import tempfile
from pathlib import Path

import pytest
import torch
from helpers.fresh import start_processes
from helpers.ranks import BATCH, STEPS, train, train_baselines

pytestmark = pytest.mark.timeout(900)  # processes that wait for each other are slow on a busy machine


@pytest.fixture(scope="module")
def runs() -> dict[str, dict]:
    """What each layout of 4 groups, and 2 groups, of the same batch ends with."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        for world, virtual in ((1, 2), (1, 4), (1, 1)):
            train(0, world, virtual, folder)
        for world, virtual in ((2, 1), (2, 2), (4, 1)):
            start_processes(train, (world, virtual, folder), world)
        torch.set_num_threads(threads)
        return {path.stem: torch.load(path) for path in Path(folder).glob("*.pt")}


@pytest.mark.parametrize(
    ("processes", "virtual"), [("2-1-0", "1-2-0"), ("2-1-1", "1-2-0"), ("2-2-0", "1-4-0"), ("4-1-3", "1-4-0")]
)
def test_equal(runs: dict[str, dict], processes: str, virtual: str) -> None:
    real, alone = runs[f"rspnet-{processes}"], runs[f"rspnet-{virtual}"]
    compare(real, alone)
    assert real["state"]["queue.position"].item() == STEPS * BATCH % 50


def test_baselines_are_equal_too(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    train_baselines(0, 1, 2, str(tmp_path))
    torch.set_num_threads(threads)
    start_processes(train_baselines, (2, 1, str(tmp_path)), 2)
    for method in ("moco", "order"):
        alone = torch.load(tmp_path / f"{method}-1-2-0.pt")
        for rank in (0, 1):
            compare(torch.load(tmp_path / f"{method}-2-1-{rank}.pt"), alone)


def compare(real: dict, alone: dict) -> None:
    assert real["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    for key, value in alone["state"].items():
        torch.testing.assert_close(real["state"][key], value, rtol=0, atol=1e-5, msg=key)


def test_the_comparison_can_fail(runs: dict[str, dict]) -> None:
    assert runs["rspnet-1-1-0"]["losses"] != pytest.approx(runs["rspnet-1-2-0"]["losses"], abs=1e-3)
