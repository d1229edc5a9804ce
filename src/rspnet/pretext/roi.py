"""Pairwise similarity maps: where in two clips their likeness comes from (METHOD section 4, "RoI maps")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rspnet.core.errors import RSPNetError
from rspnet.models.heads import LinearHead


def roi_maps(head: nn.Module, features: Tensor, other: Tensor) -> Tensor:
    """What in each clip makes it like its partner: M_i = ((W x_j)^T W) F_i with x_j the pooled map of the partner.

    The projection is linear and the pooling a mean, so the mean of M_i over positions plus `bias_terms` is exactly the
    un-normalised similarity (W x_i + b) . (W x_j + b).

    Args:
        head: a linear projection head (appearance for A-VID, motion for RSP).
        features: last feature maps F_i [B, C, T', H', W'] of the clips to explain.
        other: last feature maps [B, C, T'', H'', W''] of their partners.

    Returns:
        [B, T', H', W'], positive where a position adds to the similarity.

    Raises:
        RSPNetError: the head is not linear: its output is then no sum over positions, and there is no exact map.
    """
    weight = _linear(head).weight
    partner = other.mean(dim=(2, 3, 4)) @ weight.T
    return torch.einsum("bc,bcthw->bthw", partner @ weight, features)


def bias_terms(head: nn.Module, features: Tensor, other: Tensor) -> Tensor:
    """The part of the similarity that belongs to no position: b . W x_i + b . W x_j + b . b, [B]."""
    linear = _linear(head)
    both = features.mean(dim=(2, 3, 4)) + other.mean(dim=(2, 3, 4))
    return both @ (linear.bias @ linear.weight) + linear.bias @ linear.bias


def _linear(head: nn.Module) -> nn.Linear:
    if not isinstance(head, LinearHead):
        raise RSPNetError(f"RoI maps need linear heads; this model has {type(head).__name__} (--model.head linear)")
    return head.linear
