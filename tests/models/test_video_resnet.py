"""torchvision's 18-layer networks (it cannot be installed here): names, shapes and function, by its documentation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.torchvision_layout import PARAMETERS, torchvision_state
from torch import Tensor

from rspnet.models.registry import create_backbone

NAMES = {"r3d_18": "r3d_18_torchvision", "r2plus1d_18": "r2plus1d_18"}


@pytest.mark.parametrize(("theirs", "ours"), NAMES.items())
def test_names_shapes_and_number_of_parameters(theirs: str, ours: str) -> None:
    backbone = create_backbone(ours)
    file = {key: tuple(value.shape) for key, value in torchvision_state(theirs).items()}
    assert {key: tuple(value.shape) for key, value in backbone.state_dict().items()} == {
        key: shape for key, shape in file.items() if not key.startswith("fc.")
    }
    assert sum(p.numel() for p in backbone.parameters()) + 400 * 513 == PARAMETERS[theirs]


@pytest.mark.slow
@pytest.mark.parametrize(("theirs", "ours"), NAMES.items())
def test_function(theirs: str, ours: str) -> None:
    state = {key: value.double() for key, value in torchvision_state(theirs).items()}
    backbone = create_backbone(ours).double().eval()
    backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    clip = torch.randn(1, 3, 6, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(backbone(clip), forward(state, clip))


def forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network as its documentation draws it, from tensors by name."""
    x = layers(state, "stem.", x, stride=(1, 2, 2))
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}.{block}."
            stride = 2 if stage > 1 and block == 0 else 1
            y = layers(state, f"{name}conv1.", x, stride=(stride, stride, stride))
            y = layers(state, f"{name}conv2.", y, stride=(1, 1, 1), last_relu=False)
            if f"{name}downsample.0.weight" in state:
                x = norm(state, f"{name}downsample.1.", F.conv3d(x, state[f"{name}downsample.0.weight"], stride=stride))
            x = (x + y).relu()
    return x


def layers(
    state: dict[str, Tensor], prefix: str, x: Tensor, *, stride: tuple[int, int, int], last_relu: bool = True
) -> Tensor:
    """Convolutions below a prefix in order, each with half padding and its batch norm, ReLU between them."""
    keys = [key for key in state if key.startswith(prefix) and state[key].dim() == 5]
    norms = [key.removesuffix("running_var") for key in state if key.startswith(prefix) and "running_var" in key]
    for key, bn in zip(keys, norms, strict=True):
        kernel = state[key].shape[2:]
        # In a factored pair the spatial one strides in space, the temporal one in time; the stem only in space.
        steps = tuple(s if k > 1 else 1 for s, k in zip(stride, kernel, strict=True))
        x = norm(state, bn, F.conv3d(x, state[key], stride=steps, padding=tuple(k // 2 for k in kernel)))
        if key != keys[-1] or last_relu:
            x = x.relu()
    return x


def norm(state: dict[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    """Batch norm by running statistics, written out."""
    scale, shift, mean, variance = (
        state[prefix + name].view(-1, 1, 1, 1) for name in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift
