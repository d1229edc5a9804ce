"""The published checkpoints' layouts and golden numbers (shared/official), built and read for tests."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

OFFICIAL = Path(__file__).resolve().parents[3] / "shared" / "official"
ARCHS = ("c3d", "resnet18", "r2plus1d-vcop", "s3dg")

needs_official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"no {OFFICIAL}: the golden numbers are not here")


@cache
def golden(arch: str) -> dict[str, Any]:
    return json.loads((OFFICIAL / f"golden_{arch}.json").read_text())


@cache
def layout(arch: str) -> list[tuple[str, list[int], str]]:
    return json.loads((OFFICIAL / f"layout_{arch}.json").read_text())["model"]


def filled_state(arch: str, *, queue_size: int = 64, prefix: str = "") -> dict[str, torch.Tensor]:
    """The `model` entry of a published file with the golden numbers' weights, float64; of it what has a prefix."""
    spec = importlib.util.spec_from_file_location("official_fill", OFFICIAL / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entries = [entry for entry in layout(arch) if entry[0].startswith(prefix)]
    arrays = module.fill_state(entries, 0, queue_size=queue_size)
    return {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}


def fine_tuned(content: dict[str, Any]) -> dict[str, Any]:
    """The form a published pre-training file's backbone has in a fine-tuned file of the same code."""
    model = {
        f"encoder.{key.removeprefix('encoder_q.encoder.')}": value
        for key, value in content["model"].items()
        if key.startswith("encoder_q.encoder.")
    }
    head = {"fc.weight": torch.zeros(101, 512), "fc.bias": torch.zeros(101)}
    return {"arch": content["arch"], "model": model | head, "best_acc1": 70.0}


def published_file(arch: str, *, queue_size: int = 64) -> dict[str, Any]:
    """The dictionary a published file holds."""
    return {
        "epoch": 200,
        "arch": arch,
        "model": filled_state(arch, queue_size=queue_size),
        "best_loss": 1.5,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "scheduler": {"last_epoch": 200},
    }
