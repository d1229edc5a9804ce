from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import augment_reference

from rspnet.core.errors import ConfigError
from rspnet.core.rng import numpy_rng
from rspnet.data import augment as augment_module
from rspnet.data import colour
from rspnet.data.augment import (
    IDENTITY,
    augment,
    augment_taking,
    centre_square,
    draw_box,
    draw_clip,
    draw_jitter,
    gaussian_neighbour,
    normalise,
)
from rspnet.data.presets import MEAN, PRESETS, STD, AugmentPreset, augment_preset

SHAPE = (3, 9, 10, 3)  # T, H, W, channels


def clips(count: int) -> torch.Tensor:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    frames[:, :, 0, :3] = frames[:, :, 0, :3, :1]  # grey pixels
    frames[:, :, 1, 0], frames[:, :, 1, 1] = 0, 255
    frames[:, :, 2] = frames[:, :, 2, :, [0, 0, 2]].transpose(1, 2, 3, 0)  # ties of the largest channel
    return torch.from_numpy(frames)


def identity_rows(count: int) -> torch.Tensor:
    return torch.tensor([IDENTITY] * count)


@pytest.mark.parametrize("chunk", [1, 100], ids=["one by one", "batched"])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_equals_the_slow_twin_for_mixed_orders(name: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment_module, "_CPU_CHUNK", chunk)
    preset = PRESETS[name]
    frames = clips(12)
    rows = np.stack([draw_jitter(preset, np.random.default_rng(seed)) for seed in range(12)])
    assert len({tuple(row[5:9]) for row in rows}) > 4
    views = augment(frames, torch.from_numpy(rows))
    for view, clip, row in zip(views, frames, rows, strict=True):
        expected = augment_reference.augmented(clip.numpy(), row, preset.blur_sigma)
        np.testing.assert_allclose(view.numpy(), expected, atol=5e-6)


@settings(max_examples=40, deadline=None)
@given(
    pixels=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=8), turns=st.floats(-0.5, 0.5, width=32)
)
def test_hue_is_the_classical_one_to_1e_6(pixels: list[tuple[int, int, int]], turns: float) -> None:
    rgb = torch.tensor(pixels, dtype=torch.float32) / 255
    planes = rgb.T.reshape(3, 1, 1, 1, -1).clone()
    colour.shift_hue(planes, [turns])
    expected = augment_reference.hue(rgb.double().numpy(), turns)
    np.testing.assert_allclose(planes.reshape(3, -1).T.numpy(), expected, atol=1e-6)


def test_the_order_of_operations_matters_and_is_per_clip() -> None:
    frames = clips(1).expand(24, *SHAPE)
    rows = identity_rows(24)
    rows[:, 1:5] = torch.tensor([1.4, 0.6, 1.4, 0.1])
    rows[:, 5:9] = torch.tensor(list(itertools.permutations(range(4))))
    views = augment(frames, rows)
    assert len({round(float(view.double().sum()), 6) for view in views}) > 12


def test_contrast_takes_one_mean_for_the_clip() -> None:
    frames = torch.zeros(1, 2, 4, 4, 3, dtype=torch.uint8)
    frames[:, 1] = 200
    rows = identity_rows(1)
    rows[:, 2], rows[:, 5] = 0.0, 1.0  # contrast factor 0: every pixel becomes the mean
    view = augment(frames, rows)[0] * torch.tensor(STD).view(3, 1, 1, 1) + torch.tensor(MEAN).view(3, 1, 1, 1)
    torch.testing.assert_close(view, torch.full_like(view, 100 / 255))


def test_identity_row_only_normalises() -> None:
    frames = clips(2)
    expected = (frames.double() / 255 - torch.tensor(MEAN).double()) / torch.tensor(STD).double()
    for view in (augment(frames, identity_rows(2)), normalise(frames)):
        torch.testing.assert_close(view.double(), expected.permute(0, 4, 1, 2, 3), atol=1e-5, rtol=0)
        assert view.is_contiguous(memory_format=torch.channels_last_3d)


def test_bfloat16_is_the_rounded_float32() -> None:
    frames, rows = clips(3), torch.from_numpy(np.stack([draw_jitter(AugmentPreset(), numpy_rng(i)) for i in range(3)]))
    half = augment(frames, rows, dtype=torch.bfloat16)
    assert half.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(half, augment(frames, rows).bfloat16())


def test_noise_is_fresh_per_pixel_and_seeded_per_clip() -> None:
    frames = torch.full((3, 8, 32, 32, 3), 128, dtype=torch.uint8)
    clean = augment(frames, identity_rows(3))
    noisy = augment(frames, identity_rows(3), noise_std=0.06, seeds=torch.tensor([5, 6, 5]))
    noise = (noisy - clean) * torch.tensor(STD).view(1, 3, 1, 1, 1)
    assert noise.std().item() == pytest.approx(0.06, rel=0.02)
    assert torch.equal(noise[0], noise[2])
    corner = torch.corrcoef(torch.stack([noise[0, 0, 0].flatten(), noise[0, 0, 1].flatten(), noise[1, 0, 0].flatten()]))
    assert corner.triu(1).abs().max() < 0.15


@pytest.mark.parametrize("chunk", [1, 100])
def test_taking_equals_augmenting_and_indexing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment_module, "_CPU_CHUNK", chunk)
    frames, rows = clips(4), torch.from_numpy(np.stack([draw_jitter(AugmentPreset(), numpy_rng(i)) for i in range(4)]))
    positions = torch.tensor([[0, 2], [1, 1], [2, 0], [0, 1]])
    seeds = torch.arange(4)
    whole = augment(frames, rows, noise_std=0.1, seeds=seeds)
    taken, again = augment_taking(frames, rows, [positions, positions.flip(1)], noise_std=0.1, seeds=seeds)
    for clip in range(4):
        torch.testing.assert_close(taken[clip], whole[clip][:, positions[clip]], atol=1e-6, rtol=0)
        assert torch.equal(again[clip], taken[clip].flip(1))
    assert taken.is_contiguous(memory_format=torch.channels_last_3d)


@settings(max_examples=80, deadline=None)
@given(height=st.integers(1, 400), width=st.integers(1, 400), seed=st.integers(0, 10**6))
def test_crops_are_inside(height: int, width: int, seed: int) -> None:
    top, left, box_height, box_width = draw_box(
        AugmentPreset(), height=height, width=width, rng=np.random.default_rng(seed)
    )
    assert 0 <= top <= top + box_height <= height
    assert 0 <= left <= left + box_width <= width
    assert min(box_height, box_width) >= 1


def test_crops_have_the_published_area_and_aspect() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([draw_box(AugmentPreset(), height=240, width=320, rng=rng) for _ in range(2000)])
    area, aspect = boxes[:, 2] * boxes[:, 3] / (240 * 320), boxes[:, 3] / boxes[:, 2]
    assert (area.min(), area.max()) == pytest.approx((0.4, 1.0), abs=0.02)
    assert (aspect.min(), aspect.max()) == pytest.approx((3 / 4, 4 / 3), rel=0.02)


def test_a_crop_that_never_fits_falls_back_to_the_centre() -> None:
    box = draw_box(AugmentPreset(crop_area=(1, 1)), height=100, width=1000, rng=np.random.default_rng(0))
    assert box == (0, (1000 - 133) // 2, 100, 133)
    tall = draw_box(AugmentPreset(crop_area=(1, 1)), height=1000, width=90, rng=np.random.default_rng(0))
    assert tall == (440, 0, 120, 90)
    assert centre_square(100, 131) == (0, 15, 100, 100)


def test_draws_have_the_published_probabilities() -> None:
    draws = [draw_clip(PRESETS["aug_plus"], height=90, width=90, rng=numpy_rng(seed)) for seed in range(3000)]
    rows = np.stack([draw.jitter for draw in draws])
    assert np.mean([draw.flip for draw in draws]) == pytest.approx(0.5, abs=0.04)
    assert rows[:, 0].mean() == pytest.approx(0.2, abs=0.03)
    assert (rows[:, 5] >= 0).mean() == pytest.approx(0.8, abs=0.03)
    assert (rows[:, 9] > 0).mean() == pytest.approx(0.5, abs=0.04)
    jittered = rows[rows[:, 5] >= 0]
    np.testing.assert_allclose(jittered[:, 1:5].min(0), [0.6, 0.6, 0.6, -0.1], atol=0.01)
    np.testing.assert_allclose(jittered[:, 1:5].max(0), [1.4, 1.4, 1.4, 0.1], atol=0.01)
    assert len({draw.noise_seed for draw in draws}) == 3000
    assert all((draw_jitter(PRESETS["published"], numpy_rng(seed))[5:9] >= 0).all() for seed in range(50))


def test_gaussian_kernel_sums_to_one() -> None:
    tap = gaussian_neighbour(1.5)
    assert tap / (1 - 2 * tap) == pytest.approx(np.exp(-1 / (2 * 1.5**2)))


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown augmentation 'strong': choose from aug_plus, published"):
        augment_preset("strong")
