"""Between log lines the host never waits for a number from the device.

There is no GPU here: what would wait there is counted on the CPU, by the operations that hand a tensor's value to
Python or make a shape depend on one.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.clips_on_disk import TINY, write_videos
from torch.utils._python_dispatch import TorchDispatchMode

from rspnet.cli import main
from rspnet.engine.loop import Loop

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "unique_dim")


class CountWaits(TorchDispatchMode):
    """Counts operations that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._overloadpacket.__name__
        if name in WAITING or (name.startswith("index") and _has_mask(args)):
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(args: Any) -> bool:
    """Whether an indexing operation picks by a mask: how many it picks depends on the values."""
    places = args[1] if len(args) > 1 and isinstance(args[1], list) else []
    return any(isinstance(place, torch.Tensor) and place.dtype == torch.bool for place in places)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--model.virtual_ranks", "2", "--engine.activation_checkpointing", "true"),
        ("--optim.name", "adamw", "--optim.clip_grad_norm", "1.0", "--engine.cudnn_benchmark", "true"),
        ("--data.noise_std", "0.05"),
    ],
)
def test_no_step_waits(options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Counter[str]] = []
    one_step = Loop._one_step

    def counted(loop: Loop, batch: Any) -> None:
        with CountWaits() as mode:
            one_step(loop, batch)
        steps.append(mode.found)

    monkeypatch.setattr(Loop, "_one_step", counted)
    videos = write_videos(tmp_path / "videos")
    arguments = ["pretrain", "--data.root", str(videos), "--out", str(tmp_path / "run"), "--max_steps", "2"]
    assert main([*arguments, *TINY, *options]) == 0
    assert steps == [Counter(), Counter()]
    assert torch.backends.cudnn.benchmark == ("--engine.cudnn_benchmark" in options)


def test_the_counter_counts() -> None:
    with CountWaits() as mode:
        value = torch.ones(3)
        assert value.sum().item() == 3
        assert value.any()
        value[value > 2]
    assert mode.found["_local_scalar_dense"] + mode.found["is_nonzero"] == 2
    assert mode.found["index"] == 1
