"""Between log lines the host never waits for a number from the device.

Where there is no GPU, what would wait there is counted on the CPU: operations that hand a tensor's value to Python or
make a shape depend on one, and copies to another device that block. tests/cuda asks torch itself.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clips_on_disk import TINY, write_videos
from helpers.waits import CountMade, CountWaits

from rspnet.cli import main
from rspnet.core.rng import numpy_rng
from rspnet.data.augment import augment, draw_jitter, normalise
from rspnet.data.presets import augment_preset
from rspnet.engine.loop import Loop
from rspnet.pretext.shuffle import global_permutation, shuffle, unshuffle


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--model.virtual_ranks", "2", "--engine.activation_checkpointing", "true"),
        ("--optim.name", "adamw", "--optim.clip_grad_norm", "1.0"),
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


def test_numbers_go_to_another_device_without_waiting() -> None:
    """Augmentation, shuffle-BN and normalising send factors, rows and constants; "meta" stands for a GPU."""
    frames = torch.empty(4, 4, 16, 16, 3, dtype=torch.uint8, device="meta")
    preset = augment_preset("published")
    jitter = torch.from_numpy(np.stack([draw_jitter(preset, numpy_rng("jitter", place)) for place in range(4)]))
    permutation = global_permutation(4, step_seed=0, stream="same speed")
    with CountWaits() as mode, CountMade() as made:
        clips = augment(frames, jitter)
        unshuffle(shuffle(clips, permutation), permutation)
        normalise(frames)
    assert (mode.found, made.count) == (Counter(), 0)


def test_the_counter_counts() -> None:
    with CountWaits() as mode, CountMade() as made:
        torch.tensor([1, 2], device="meta")
        torch.tensor([1, 2]).to("meta")
        value = torch.ones(3)
        assert value.sum().item() == 3
        assert value.any()
        value[value > 2]
    assert mode.found["_local_scalar_dense"] + mode.found["is_nonzero"] == 2
    assert mode.found["index"] == 1
    assert (mode.found["blocking copy"], made.count) == (1, 1)
