"""The memory bench measures each thing in a process of its own."""

import multiprocessing
from types import SimpleNamespace

import pytest

from rspnet.lab.bench import bench_memory as module


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("forkserver")  # torch is imported there
    monkeypatch.setattr(module, "multiprocessing", SimpleNamespace(get_context=lambda _: context))
    result = module.bench_memory(backbone="r3d_10_slim", batch_size=1, videos=0)
    plain, saving = result["rows"]
    assert (plain["activation_checkpointing"], saving["activation_checkpointing"]) == (False, True)
    for row in result["rows"]:
        assert 0 < row["above_start_mib"] < row["peak_mib"]
        assert row["step_s"] > 0
    assert result["less_above_start"] < 1
    assert "loader_growth_mib" not in result
