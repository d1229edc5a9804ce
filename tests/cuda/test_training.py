"""Whole trainings on a GPU: resume, no waiting, copies beside the computing, fp16, memory that runs out, ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.clips_on_disk import TINY, TINY_FINETUNE, TINY_SLIM, listed, write_listed_videos, write_videos
from helpers.devices import DEVICE, needs_gpu, waiting_forbidden
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from rspnet.cli import main
from rspnet.core.errors import NotEnoughMemoryError
from rspnet.data.batches import PairBatch
from rspnet.engine.divergence import DivergenceWatch
from rspnet.engine.loop import Loop
from rspnet.engine.memory import memory_advice
from rspnet.engine.optim import make_optimizer
from rspnet.engine.prefetch import prefetched

pytestmark = pytest.mark.cuda

HERE = ["--engine.device", DEVICE.type]


@needs_gpu  # tests/commands has it for the CPU
@pytest.mark.parametrize("backbone", ["r3d_10_slim", "r3d_18", "s3dg"])
def test_a_resumed_run_ends_with_the_same_bits(backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    videos = write_videos(tmp_path / "videos")
    options = [*TINY, *HERE, f"--model.backbone={backbone}", "--data.noise_std=0.02", "--engine.deterministic=true"]
    try:
        for out in ("whole", "parts"):
            run = ["pretrain", "--data.root", str(videos), "--out", str(tmp_path / out), "--max_steps", "4", *options]
            if out == "parts":
                with monkeypatch.context() as patch:
                    stop_after(2, patch)
                    assert main(run) == 130
                run.append("--resume")
            assert main(run) == 0
    finally:
        torch.use_deterministic_algorithms(False)
    whole, parts = ((tmp_path / out / "last.ckpt").read_bytes() for out in ("whole", "parts"))
    assert whole == parts


def stop_after(steps: int, patch: pytest.MonkeyPatch) -> None:
    """Have the loop see a request to stop after so many steps."""
    next_batch = Loop._next

    def stopped(loop: Loop, source: Any, stop: Any) -> Any:
        return next_batch(loop, source, stop) if loop.step < steps else None

    patch.setattr(Loop, "_next", stopped)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["pretrain", "finetune"] if DEVICE.type == "cuda" else ["finetune"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"] if DEVICE.type == "cuda" else ["fp32"])
def test_between_log_lines_no_step_waits_for_the_device(
    command: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    one_step = Loop._one_step

    def forbidden(loop: Loop, batch: Any) -> None:
        if loop.step == 0:  # kernels are loaded and state is made
            one_step(loop, batch)
            return
        with waiting_forbidden():
            one_step(loop, batch)
        steps.append(loop.step)

    monkeypatch.setattr(Loop, "_one_step", forbidden)
    if command == "pretrain":
        data = ["--data.root", str(write_videos(tmp_path / "videos")), *TINY, "--model.virtual_ranks", "2"]
    else:
        data = [*listed(write_listed_videos(tmp_path / "videos")), *TINY_FINETUNE]
    options = ["--optim.clip_grad_norm", "1.0", "--engine.precision", precision, "--max_steps", "3", *HERE]
    assert main([command, *data, "--out", str(tmp_path / "run"), *options]) == 0
    assert steps == [1, 2]


@needs_gpu
def test_batches_copied_beside_the_computing_arrive_whole() -> None:
    """Two hundred batches of changing sizes, whose memory is used again and again while kernels still run."""
    count, sums = 200, []

    def made() -> Iterator[PairBatch]:
        for number in range(count):
            pixels = torch.full((2 + number % 3, 4, 64, 64 + 8 * (number % 5), 3), number % 251, dtype=torch.uint8)
            few = torch.full((len(pixels),), number)
            yield PairBatch(pixels, pixels, few, few, *[few] * 5, skipped=[])

    slow = torch.randn(2048, 2048, device=DEVICE)
    for batch in prefetched(made(), DEVICE):
        slow = (slow @ slow).clamp(-1, 1)  # the computing stream falls behind the host
        sums.append((batch.query.double().mean() + batch.key.double().mean()) / 2 + 0 * slow.sum())
        scratch = torch.empty_like(batch.query).fill_(255)  # takes memory that is free too early, if any is
        del batch, scratch
    assert torch.stack(sums).round(decimals=6).tolist() == [number % 251 for number in range(count)]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_in_fp16_gradients_are_scaled_clipped_and_overflows_left_out(
    name: Any, max_norm: float | None, tmp_path: Path
) -> None:
    scaler = torch.amp.GradScaler(DEVICE.type, init_scale=2.0**8)
    fabric = Fabric(
        accelerator=DEVICE.type, devices=1, plugins=MixedPrecision("16-mixed", device=DEVICE.type, scaler=scaler)
    )
    weights = nn.Linear(1, 1, bias=False).to(DEVICE)
    nn.init.zeros_(weights.weight)
    model = fabric.setup_module(weights)
    optimizer = fabric.setup_optimizers(make_optimizer(weights.parameters(), name=name, lr=1.0, weight_decay=0.0))

    def step(batch: Any, number: int) -> dict[str, torch.Tensor]:
        loss = (weights.weight * batch).sum()
        fabric.backward(loss)
        return {"loss": loss.detach()}

    loop = Loop(
        fabric, model, optimizer, lambda _: 1.0, step, lambda *_: None, lambda: None, lambda: None,
        DivergenceWatch(tmp_path, patience=1, files_of=lambda _: []), seed=0, total_steps=2, steps_per_epoch=2,
        log_every=9, clip_grad_norm=max_norm,
    )  # fmt: skip
    loop._one_step(torch.tensor(float("inf"), device=DEVICE))
    assert (weights.weight.item(), scaler.get_scale()) == (0.0, 2.0**7)
    loop._one_step(torch.tensor(4.0, device=DEVICE))
    expected = -1.0 if name == "adamw" else -4.0 if max_norm is None else -max_norm
    assert weights.weight.item() == pytest.approx(expected, rel=1e-3)


def test_memory_that_runs_out_says_what_to_lower() -> None:
    has = "of the GPU's" if DEVICE.type == "cuda" else "GiB of the machine's"
    with (
        pytest.raises(NotEnoughMemoryError, match=rf"needs about 2\.0 GiB a process .*{has}.*: lower --x$"),
        memory_advice(estimate=lambda: 2 * 2**30, lower="lower --x"),
    ):
        torch.empty(10**15, device=DEVICE)


@needs_gpu
def test_a_rank_that_torchrun_starts_trains(tmp_path: Path) -> None:
    """NCCL for tensors and gloo for what the hosts agree on."""
    videos = write_videos(tmp_path / "videos")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", "-m", "rspnet"]
    data = ["pretrain", "--data.root", str(videos), "--out", str(tmp_path / "run"), "--max_steps", "2"]
    data += [*TINY_SLIM, *HERE]
    done = subprocess.run([*run, *data], env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "last.ckpt").exists()


def test_every_batch_knows_its_pixels_on_the_device() -> None:
    pixels, few = torch.zeros(2, 4, 8, 8, 3, dtype=torch.uint8), torch.zeros(2)
    batch = PairBatch(pixels, pixels, few, few, *[few] * 5, skipped=[])
    (moved,) = prefetched([replace(batch)], DEVICE)
    assert moved.query.device == DEVICE
    assert moved.query_jitter.device.type == "cpu"
