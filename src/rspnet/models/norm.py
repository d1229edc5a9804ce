"""The batch normalisation and the ReLU of every backbone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm3d(nn.BatchNorm3d):
    """`nn.BatchNorm3d`, faster on GPUs in channels_last_3d.

    torch has fast kernels for pictures in channels_last and none for clips in channels_last_3d (2.11). There a clip is
    a row of pictures: nothing has to be moved to call it so.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """[B, C, T, H, W] -> the same shape."""
        super()._check_input_dim(input)
        if not _are_rows_of_pictures(input):
            return super().forward(input)
        pictures = super().forward(input.transpose(1, 2).flatten(0, 1))
        return pictures.view(input.shape[0], -1, *pictures.shape[1:]).transpose(1, 2)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """`forward` has checked the clips; the stock forward may see them as pictures."""


def _are_rows_of_pictures(x: Tensor) -> bool:
    return x.is_cuda and x.dim() == 5 and x.is_contiguous(memory_format=torch.channels_last_3d)


def relu(x: Tensor) -> Tensor:
    """ReLU in place, but on GPUs: there `BatchNorm3d` returns a view, and autograd copies a view changed in place."""
    return F.relu(x, inplace=not x.is_cuda)


class ReLU(nn.Module):
    """`relu` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return relu(x)
