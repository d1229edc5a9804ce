"""A GPU computes the numbers that the CPU does: golden ones, whole training steps, virtual ranks, augmentation."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.devices import DEVICE, needs_gpu, no_tf32

from rspnet.core.rng import numpy_rng
from rspnet.data.augment import augment, draw_jitter
from rspnet.data.presets import augment_preset
from rspnet.models import conv, norm
from rspnet.models.pool import max_pool
from rspnet.models.registry import create_backbone
from rspnet.pretext.create import create_method
from rspnet.pretext.speed import SpeedViews

pytestmark = pytest.mark.cuda

TESTS = Path(__file__).resolve().parents[1]
_SPEC = importlib.util.spec_from_file_location("golden_own", TESTS / "models" / "test_golden_own.py")
assert _SPEC is not None
assert _SPEC.loader is not None
own = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(own)
NAMES = own.NAMES if DEVICE.type == "cuda" else ["r3d_10_slim"]  # tests/models has them all on the CPU
BACKBONES = ["r3d_18", "c3d", "r2plus1d_vcop", "s3dg"] if DEVICE.type == "cuda" else ["r3d_10_slim"]


@pytest.mark.parametrize("name", NAMES)
def test_golden_features_in_float64(name: str) -> None:
    expected = json.loads((TESTS / "golden" / "own_backbones.json").read_text())[name]
    found = own.describe(name, device=DEVICE)
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-8)
    np.testing.assert_allclose(found["pooled_head"], expected["pooled_head"], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", BACKBONES)
def test_float32_without_tf32_is_near_float64(name: str) -> None:
    """Features and the gradient of the first weight, in channels_last_3d as trainings run."""
    found = {}
    clips = torch.from_numpy(numpy_rng("clips").standard_normal((2, 3, 8, 32, 32)))
    for dtype in (torch.float64, torch.float32):
        backbone = create_backbone(name)
        own.fill(backbone)
        backbone = backbone.to(DEVICE, dtype, memory_format=torch.channels_last_3d).eval()
        with no_tf32():
            features = backbone(clips.to(DEVICE, dtype).contiguous(memory_format=torch.channels_last_3d))
            features.square().mean().backward()
        found[dtype] = features, next(backbone.parameters()).grad
    # A value near 0 may fall on the other side of a ReLU, which gradients see: up to 3e-3 on a CPU, too. TF32: 3e-4.
    for exact, rounded, tolerance in zip(*found.values(), (2e-5, 1e-2), strict=True):
        assert ((rounded.double() - exact).norm() / exact.norm()).item() < tolerance


@needs_gpu  # a CPU takes neither way
@pytest.mark.parametrize("name", ["r3d_18", "c3d", "r2plus1d_vcop", "s3dg", "r3d_18_torchvision"])
def test_in_bf16_stems_and_batch_norms_take_other_ways_to_the_same_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features and the gradient of the first weight in train mode, as far from float64 as by torch's own ways."""
    clips = torch.from_numpy(numpy_rng("clips").standard_normal((4, 3, 8, 32, 32))).to(DEVICE)
    clips = clips.contiguous(memory_format=torch.channels_last_3d)
    away = {}
    for way in ("ours", "torch's"):
        if way == "torch's":
            monkeypatch.setattr(conv, "_half_precision", lambda x: None)
            monkeypatch.setattr(norm, "_are_rows_of_pictures", lambda x: False)
        found = []
        for dtype in (torch.float64, torch.float32):
            backbone = create_backbone(name)
            own.fill(backbone)
            backbone = backbone.to(DEVICE, dtype, memory_format=torch.channels_last_3d)
            with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.float32):
                features = backbone(clips.to(dtype))
            features.double().square().mean().backward()
            found.append((features.detach().double(), next(backbone.parameters()).grad.double()))
        away[way] = [((half - exact).norm() / exact.norm()).item() for exact, half in zip(*found, strict=True)]
    assert np.less(away["ours"], 2 * np.array(away["torch's"])).all(), away


@needs_gpu
@pytest.mark.parametrize("virtual_ranks", [1, 2])
def test_three_steps_end_like_those_of_the_cpu(virtual_ranks: int) -> None:
    """Virtual ranks, shuffle-BN, running statistics, queue and momentum encoder, in float64."""
    found, expected = (three_steps(device, virtual_ranks) for device in (DEVICE, torch.device("cpu")))
    for name, value in expected.items():
        torch.testing.assert_close(found[name].cpu(), value, rtol=0, atol=1e-7, msg=name)


def three_steps(device: torch.device, virtual_ranks: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"backbone": "r3d_10_slim", "queue_size": 50, "feature_dim": 16, "momentum": 0.9}
    model = create_method({**settings, "virtual_ranks": virtual_ranks}).double().to(device)
    optimizer = torch.optim.SGD(model.trained.parameters(), lr=0.02, momentum=0.9)
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        views = SpeedViews(
            *(torch.randn(8, 3, 4, 16, 16, generator=generator, dtype=torch.float64).to(device) for _ in range(3))
        )
        optimizer.zero_grad()
        for output in model.group_outputs(views, step_seed=step):
            (output.loss / virtual_ranks).backward()
        model.finish_step()
        optimizer.step()
    return model.state_dict()


def test_clips_are_augmented_together_as_one_by_one() -> None:
    """A GPU works on all clips of a batch at once, a CPU on one after the other."""
    frames = torch.from_numpy(numpy_rng("frames").integers(0, 256, (6, 4, 24, 24, 3), dtype=np.uint8))
    preset = augment_preset("published")
    jitter = torch.from_numpy(np.stack([draw_jitter(preset, numpy_rng("jitter", place)) for place in range(6)]))
    together = augment(frames.to(DEVICE), jitter).cpu()
    apart = torch.cat([augment(frames[place : place + 1], jitter[place : place + 1]) for place in range(6)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (3, 1, 1), ((1, 3, 3), (1, 2, 2), (0, 1, 1))])
def test_pools_and_their_gradients(kernel: Any, stride: Any, padding: Any) -> None:
    """Of channels_last_3d maps; windows overlap, so a GPU adds gradients up."""
    x = torch.from_numpy(numpy_rng("pool").standard_normal((2, 8, 6, 12, 12)))
    results = []
    for device in (DEVICE, torch.device("cpu")):
        mine = x.to(device, memory_format=torch.channels_last_3d).requires_grad_()
        out = max_pool(mine, kernel, stride=stride, padding=padding)
        out.square().sum().backward()
        assert mine.grad is not None
        results.append((out.detach().cpu(), mine.grad.cpu()))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
