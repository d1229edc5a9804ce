"""The memory estimate against counting by hand."""

from __future__ import annotations

from torch import nn

from rspnet.engine.memory import saved_activation_bytes, state_bytes


def test_saved_activations_of_a_small_network_by_hand() -> None:
    """A convolution saves its input; ReLU saves its output. Both once, in float32."""
    network = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1, bias=False), nn.ReLU())
    pixels = 4 * 6 * 6
    assert saved_activation_bytes(network, (3, 4, 6, 6)) == 4 * (3 + 8) * pixels


def test_state_is_weights_gradients_and_optimiser() -> None:
    assert state_bytes(nn.Linear(3, 4), optimizer_copies=2) == 16 * 4 * 4
