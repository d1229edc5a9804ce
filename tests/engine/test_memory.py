"""The memory estimate against counting by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from rspnet.core.errors import NotEnoughMemoryError
from rspnet.engine.memory import memory_advice, saved_activation_bytes, state_bytes, training_bytes
from rspnet.models.registry import create_backbone


def test_saved_activations_of_a_small_network_by_hand() -> None:
    """A convolution saves its input; ReLU saves its output. Both once, in float32."""
    network = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1, bias=False), nn.ReLU())
    pixels = 4 * 6 * 6
    assert saved_activation_bytes(network, (3, 4, 6, 6)) == 4 * (3 + 8) * pixels


def test_state_is_weights_gradients_and_optimiser() -> None:
    assert state_bytes(nn.Linear(3, 4), optimizer_copies=2) == 16 * 4 * 4


def throw(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "fails",
    [
        lambda: torch.empty(10**15),
        partial(throw, MemoryError()),
        partial(throw, torch.OutOfMemoryError("CUDA out of memory")),
    ],
)
def test_out_of_memory_says_what_to_lower_and_how_much_is_needed(fails: Callable[[], object]) -> None:
    with (
        pytest.raises(NotEnoughMemoryError, match=r"needs about 2\.0 GiB a process .*: lower --x$") as caught,
        memory_advice(estimate=lambda: 2 * 2**30, lower="lower --x"),
    ):
        fails()
    assert caught.value.exit_code == 5


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_advice(estimate=lambda: 0, lower=""):
        raise RuntimeError("shapes")


def test_training_needs_more_for_more_clips_and_half_the_activations_in_bf16() -> None:
    model = create_backbone("r3d_10_slim")
    state = state_bytes(model, optimizer_copies=1)
    needs = {
        (clips, halved): training_bytes(model, (3, 4, 32, 32), clips=clips, halved=halved) - state
        for clips in (2, 4)
        for halved in (False, True)
    }
    assert needs[4, False] == 2 * needs[2, False] == 4 * needs[2, True] > 0
