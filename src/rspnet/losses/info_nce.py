"""InfoNCE, the A-VID loss (paper, equation 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class ContrastiveOutput(NamedTuple):
    """Mean loss (0-dim), and for each sample how many negatives are at least as like the query as its positive [B]."""

    loss: Tensor
    rank: Tensor


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, *, temperature: float = 0.07) -> ContrastiveOutput:
    """Cross-entropy of telling each query's positive from the negatives.

    loss_i = -log( exp(q_i.p_i / t) / (exp(q_i.p_i / t) + sum_k exp(q_i.n_k / t)) ), averaged over i; computed in
    float32 (float64 if the query is) whatever autocast says.

    Args:
        query: unit vectors [B, D].
        positive: unit vectors [B, D].
        negatives: unit vectors [K, D], shared by all queries.
        temperature: t.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    query, positive, negatives = query.to(dtype), positive.to(dtype), negatives.to(dtype)
    with torch.autocast(query.device.type, enabled=False):
        to_positive = (query * positive).sum(dim=1, keepdim=True)
        to_negatives = query @ negatives.T
        logits = torch.cat([to_positive, to_negatives], dim=1) / temperature
        target = torch.zeros(len(query), dtype=torch.long, device=query.device)
        loss = F.cross_entropy(logits, target)
    rank = (~(to_negatives < to_positive)).sum(dim=1)  # ties and NaN count against: collapsed features score 0
    return ContrastiveOutput(loss, rank)
