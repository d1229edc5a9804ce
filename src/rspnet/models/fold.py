"""Networks for inference: batch norms become part of the convolutions before them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.hooks import RemovableHandle

from rspnet.models.backbone import Backbone

_SHORTEST_CLIP = (1, 3, 5, 32, 32)
_KNOWN = ("rspnet.models.", "torch.nn.")


def fold_batch_norms(backbone: Backbone) -> Backbone:
    """A copy in eval mode that computes the same function (to rounding) without batch norms, for inference only.

    Networks with parts from outside this package keep theirs: what a batch norm of theirs reads may be read elsewhere,
    too, or come from no convolution.

    Which convolution a batch norm follows is found by watching a short clip pass through. (Not on the meta device:
    torch computes shapes of sums there in Python, and imports its compiler for that, which takes longer.)
    """
    folded = copy.deepcopy(backbone).eval()
    norms = any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    if not norms or not all(type(module).__module__.startswith(_KNOWN) for module in folded.modules()):
        return folded.requires_grad_(False)
    for convolution, norm in _followers(folded).items():
        layers: tuple[Any, Any] = folded.get_submodule(convolution), folded.get_submodule(norm)
        fused = fuse_conv_bn_eval(*layers)
        folded.set_submodule(convolution, fused)
        folded.set_submodule(norm, nn.Identity())
    return folded.requires_grad_(False)


def _followers(backbone: Backbone) -> dict[str, str]:
    """Names of convolutions, and of the batch norms that take just their outputs."""
    makers: dict[int, tuple[str, Tensor]] = {}  # the tensors are kept: an id is reused once its object is gone
    found: dict[str, str] = {}

    def watch(name: str, module: nn.Module) -> RemovableHandle:
        def after(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, nn.Conv3d):
                makers[id(output)] = name, output
            else:
                found[makers[id(inputs[0])][0]] = name

        return module.register_forward_hook(after)

    watched = (item for item in backbone.named_modules() if isinstance(item[1], nn.Conv3d | nn.BatchNorm3d))
    hooks = [watch(name, module) for name, module in watched]
    weights = next(backbone.parameters())
    with torch.no_grad():
        backbone(weights.new_zeros(_SHORTEST_CLIP))
    for hook in hooks:
        hook.remove()
    return found
