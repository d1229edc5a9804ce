"""An embedder shares out cores as a training does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.api.open_embedder import open_embedder
from rspnet.config.view import ViewConfig


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of eight cores; torch's threads are put back."""
    monkeypatch.setattr("rspnet.engine.runtime.available_cores", lambda: 8)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_small_network_gets_few_threads_and_the_readers_the_other_cores(tmp_path: Path) -> None:
    model = str(save_tiny_checkpoint(tmp_path / "model.ckpt"))
    embedder = open_embedder(model, ViewConfig(device="cpu"))
    assert torch.get_num_threads() + embedder.num_workers >= 8
    assert torch.get_num_threads() <= 2
    assert open_embedder(model, ViewConfig(device="cpu", num_workers=2)).num_workers == 2


def test_who_asks_for_it_keeps_the_threads_of_the_process(tmp_path: Path) -> None:
    model = str(save_tiny_checkpoint(tmp_path / "model.ckpt"))
    torch.set_num_threads(3)
    assert open_embedder(model, ViewConfig(device="cpu"), set_threads=False).num_workers == 0
    assert torch.get_num_threads() == 3
