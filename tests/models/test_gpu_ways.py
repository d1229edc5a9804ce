"""The ways that layers take on GPUs compute what torch's layers do; here in float64 on the CPU."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rspnet.core.rng import numpy_rng
from rspnet.models import norm
from rspnet.models.conv import conv_of_patches
from rspnet.models.norm import BatchNorm3d, relu


def drawn(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(numpy_rng(name).standard_normal(shape))


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding"),
    [
        (3, (7, 7, 7), (1, 2, 2), (3, 3, 3)),
        (3, (1, 7, 7), (1, 2, 2), (0, 3, 3)),
        (3, (3, 3, 3), (1, 1, 1), (1, 1, 1)),
        (6, (3, 5, 2), (2, 1, 3), (0, 2, 1)),
        (1, (2, 1, 1), (1, 1, 1), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_convolution_of_patches_is_the_convolution(
    channels: int, kernel: Any, stride: Any, padding: Any, layout: torch.memory_format
) -> None:
    clips = drawn("clips", 2, channels, 5, 11, 14).contiguous(memory_format=layout)
    weight, bias = drawn("weight", 4, channels, *kernel), drawn("bias", 4)
    results = []
    for conv in (conv_of_patches, F.conv3d):
        leaves = [tensor.clone().requires_grad_() for tensor in (clips, weight, bias)]
        out = conv(*leaves, stride=stride, padding=padding)
        out.square().sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10, check_stride=False)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_norm_of_pictures_is_that_of_the_clips(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = nn.BatchNorm3d(6, momentum=0.3).double().train(training)
    stock.running_mean.copy_(drawn("mean", 6))  # type: ignore[union-attr]
    nn.init.normal_(stock.weight, generator=torch.Generator().manual_seed(0))
    ours = BatchNorm3d(6, momentum=0.3).double().train(training)
    ours.load_state_dict(deepcopy(stock.state_dict()))
    dimensions, plain = [], F.batch_norm

    def noted(x: Tensor, *rest: Any) -> Tensor:
        dimensions.append(x.dim())
        return plain(x, *rest)

    monkeypatch.setattr(F, "batch_norm", noted)
    monkeypatch.setattr(norm, "_are_rows_of_pictures", lambda x: x.is_contiguous(memory_format=torch.channels_last_3d))
    results = []
    for layer in (ours, stock):
        clips = drawn("clips", 3, 6, 4, 5, 7).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
        out = relu(layer(clips))
        out.square().sum().backward()
        assert out.is_contiguous(memory_format=torch.channels_last_3d)
        results.append([out.detach(), clips.grad, layer.weight.grad, layer.running_mean, layer.running_var])
    assert dimensions == [4, 5]
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 4, 3, 3)])
def test_a_batch_norm_still_refuses_what_is_no_clip(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="5D"):
        BatchNorm3d(4)(torch.zeros(shape))
