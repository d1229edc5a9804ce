"""The momentum (key) encoder's update (METHOD.md section 2, step 3)."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_momentum_encoder(key_encoder: nn.Module, query_encoder: nn.Module, *, momentum: float) -> None:
    """key <- momentum * key + (1 - momentum) * query for every parameter, in place; buffers stay as they are.

    Args:
        key_encoder: the encoder to change.
        query_encoder: one of the same structure.
        momentum: share of the old value that stays, 0 to 1.
    """
    torch._foreach_lerp_(list(key_encoder.parameters()), list(query_encoder.parameters()), 1 - momentum)
