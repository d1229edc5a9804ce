"""How much memory a training step will need, computed without running it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def saved_activation_bytes(module: nn.Module, clip_shape: tuple[int, int, int, int], *, clips: int = 2) -> int:
    """Float32 bytes that one clip [C, T, H, W] leaves behind in the forward pass for the backward pass.

    Runs the module on the meta device, where tensors have shapes but no memory, and counts every distinct tensor that
    autograd saves (parameters aside).
    """
    shadow = copy.deepcopy(module).to("meta").train()
    own = {id(parameter) for parameter in shadow.parameters()}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in own and tensor.is_floating_point():
            saved[id(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = shadow(torch.empty(clips, *clip_shape, device="meta"))
    total = sum(tensor.numel() for tensor in saved.values()) * 4
    del output
    return total // clips


def state_bytes(module: nn.Module, *, optimizer_copies: int) -> int:
    """Float32 bytes of the parameters, their gradients and `optimizer_copies` values each that the optimiser keeps."""
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return parameters * 4 * (2 + optimizer_copies)
