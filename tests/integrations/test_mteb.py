"""The bridge to MTEB without the program: what its cache of results knows a network by."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from helpers.tiny_model import save_tiny_checkpoint


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("datasets", "mteb", "mteb.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["datasets"].Video = SimpleNamespace  # type: ignore[attr-defined]
    meta = SimpleNamespace(create_empty=lambda known: SimpleNamespace(**known))
    sys.modules["mteb.models"].ModelMeta = meta  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "rspnet.integrations.mteb", raising=False)
    yield importlib.import_module("rspnet.integrations.mteb")
    sys.modules.pop("rspnet.integrations.mteb", None)


def test_networks_and_settings_share_no_results(bridge: Any, tmp_path: Path) -> None:
    files = []
    for seed, run in enumerate(("pre", "ft")):
        (tmp_path / run).mkdir()
        files.append(save_tiny_checkpoint(tmp_path / run / "last.ckpt", seed=seed))
    one, other = (bridge.MTEBEncoder(file, num_clips=2).mteb_model_meta for file in files)
    assert (one.name, other.name) == ("rspnet/pre-last.ckpt", "rspnet/ft-last.ckpt")
    assert one.revision != other.revision
    assert bridge.MTEBEncoder(files[0], num_clips=2).mteb_model_meta.revision == one.revision
    assert bridge.MTEBEncoder(files[0], num_clips=3).mteb_model_meta.revision != one.revision
