"""The pre-training step as the public code does it: float32, contiguous NCDHW, parameter by parameter."""

from __future__ import annotations

import copy
from unittest import mock

import torch
from torch import Tensor, nn

from rspnet.losses.info_nce import info_nce
from rspnet.losses.ranking import margin_ranking
from rspnet.models import pool
from rspnet.models.conv import Conv3d
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews


def plain_copy(model: RSPNet) -> RSPNet:
    """A copy of `model` with stock convolutions in the default memory format."""
    plain: RSPNet = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    use_stock_convolutions(plain)
    return plain


def use_stock_convolutions(network: nn.Module) -> None:
    """Turn our convolutions into `nn.Conv3d` with the same parameters, in place."""
    for module in network.modules():
        if isinstance(module, Conv3d):
            module.__class__ = nn.Conv3d  # type: ignore[assignment]


def plain_step(model: RSPNet, views: SpeedViews, optimizer: torch.optim.Optimizer) -> Tensor:
    """One step of METHOD.md section 2 in one process without shuffling; returns the loss, 0-dim."""
    with mock.patch.object(pool, "_needs_indices", return_value=True):  # the stock max pool throughout
        return _plain_step(model, views, optimizer)


def _plain_step(model: RSPNet, views: SpeedViews, optimizer: torch.optim.Optimizer) -> Tensor:
    config = model.config
    with torch.no_grad():
        for key_value, query_value in zip(model.encoder_k.parameters(), model.encoder_q.parameters(), strict=True):
            key_value.data = key_value.data * config["momentum"] + query_value.data * (1 - config["momentum"])
        other = model.encoder_k(views.key_other)
        same = model.encoder_k(views.key_same)
    query = model.encoder_q(views.query)
    negatives = model.queue.keys.clone()
    appearance = (
        info_nce(query.appearance, same.appearance, negatives).loss
        + info_nce(query.appearance, other.appearance, negatives).loss
    )
    loss = appearance + margin_ranking(query.motion, same.motion, other.motion)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    model.queue.enqueue(other.appearance)
    return loss.detach()
