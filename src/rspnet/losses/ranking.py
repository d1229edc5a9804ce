"""Margin ranking, the RSP loss (paper, equation 3)."""

from __future__ import annotations

import torch
from torch import Tensor


def margin_ranking(
    query: Tensor, same_speed: Tensor, other_speed: Tensor, *, margin: float = 2.0, temperature: float = 0.07
) -> Tensor:
    """mean_i max(0, margin - (q_i.same_i - q_i.other_i) / temperature), 0-dim.

    NOTE: the paper writes max(0, gamma - (cos - cos')) on the cosines; here, as in the public code, the margin is in
    units of cosine / temperature: 2.0 means gamma = 2.0 * 0.07 = 0.14 and a loss 1 / 0.07 times as large.

    Args:
        query: unit vectors [B, D]; computed in float32 (float64 if these are) whatever autocast says.
        same_speed: unit vectors [B, D] of clips at the query's speed.
        other_speed: unit vectors [B, D] of clips at the other speed.
        margin: by how much cos / temperature must differ for a loss of 0.
        temperature: scale of the cosines.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    query = query.to(dtype)
    difference = (query * (same_speed.to(dtype) - other_speed.to(dtype))).sum(dim=1)
    return (margin - difference / temperature).clamp_min(0).mean()


@torch.no_grad()
def ranking_accuracy(query: Tensor, same_speed: Tensor, other_speed: Tensor) -> Tensor:
    """Share of queries [B, D] more like their same-speed than their other-speed clip, 0-dim; ties count against."""
    return ((query * same_speed).sum(dim=1) > (query * other_speed).sum(dim=1)).float().mean()
