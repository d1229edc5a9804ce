"""Counted work equals that of torch's own counter, which needs the meta device and the half of torch's compiler."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers.networks import NAMES
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rspnet.engine.multiply_adds import multiply_adds
from rspnet.models.registry import create_backbone


def counted_by_torch(module: nn.Module, clip_shape: tuple[int, ...]) -> int:
    shadow = copy.deepcopy(module).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.empty(1, *clip_shape, device="meta"))
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize("name", NAMES)
def test_of_every_backbone(name: str) -> None:
    with torch.device("meta"):
        network = create_backbone(name)
    assert multiply_adds(network, (3, 8, 48, 40)) == counted_by_torch(network, (3, 8, 48, 40)) > 10**6


def test_of_one_layer_which_stays_as_it_is() -> None:
    layer = torch.nn.Conv3d(3, 5, (1, 3, 3), padding=(0, 1, 1), bias=False)
    weights = layer.weight.detach().clone()
    assert multiply_adds(layer, (3, 4, 6, 7)) == 5 * 4 * 6 * 7 * 3 * 9
    assert torch.equal(layer.weight, weights)
    assert layer.training


def test_of_groups_gaps_flat_convolutions_and_linear_layers() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv3d(4, 6, 3, stride=(1, 2, 2), padding=1, dilation=2, groups=2)
            self.norm, self.flat = nn.BatchNorm3d(6), nn.Conv2d(6, 3, 3)
            self.last = nn.Linear(3, 11)

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            frames = torch.relu(self.norm(self.first(clips))).transpose(1, 2).flatten(0, 1)
            return self.last(self.flat(frames).mean(dim=(2, 3)))

    network = Mixed()
    assert multiply_adds(network, (4, 9, 20, 24)) == counted_by_torch(network, (4, 9, 20, 24)) > 0
    assert network.norm.num_batches_tracked == 0
