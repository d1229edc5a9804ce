"""How the weights of video networks lie in memory."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """The same network, whose 3-D convolutions' weights lie with their channels last; others stay as they are.

    (`Module.to` takes such a layout for networks without 2-D convolutions only.)
    """
    network._apply(_one_channels_last)  # type: ignore[no-untyped-call]
    return network


def _one_channels_last(value: Tensor) -> Tensor:
    return value.to(memory_format=torch.channels_last_3d) if value.dim() == 5 else value
