"""Features of the backbones no published file exists for must stay what they are.

The numbers are regression values of this package itself; `python tests/models/test_golden_own.py` writes them anew
(only after a change that is meant to change the function of a network).
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rspnet.models.registry import create_backbone

NAMES = ["r2plus1d_18", "r3d_10_slim", "r3d_18_torchvision", "r3d_34", "r3d_50"]
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "own_backbones.json"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_features(name: str) -> None:
    expected = json.loads(GOLDEN.read_text())[name]
    found = describe(name)
    assert found["shape"] == expected["shape"]
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-8)
    np.testing.assert_allclose(found["pooled_head"], expected["pooled_head"], rtol=1e-8, atol=1e-10)


def describe(name: str, *, device: torch.device | None = None) -> dict:
    """A few numbers of the last feature map in eval mode, float64, on seeded weights and clip."""
    backbone = create_backbone(name).double().eval()
    fill(backbone)
    clip = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 3, 8, 32, 32)))
    with torch.no_grad():
        features = backbone.to(device)(clip.to(device))
    return {
        "shape": list(features.shape),
        "mean": features.mean().item(),
        "pooled_head": features.mean((2, 3, 4))[0, :8].tolist(),
    }


def fill(module: nn.Module) -> None:
    """Weights that are a function of their names alone."""
    for key, tensor in module.state_dict().items():
        rng = np.random.RandomState(zlib.crc32(key.encode()))
        normal = torch.from_numpy(np.asarray(rng.standard_normal(tuple(tensor.shape))))
        if key.endswith("running_var"):
            tensor.copy_(1 + 0.1 * normal.abs())
        elif key.endswith(("running_mean", "bias")):
            tensor.copy_(0.1 * normal)
        elif tensor.dim() == 1:
            tensor.copy_(1 + 0.1 * normal)
        elif tensor.dim() > 1:
            tensor.copy_(normal * (2 / tensor[0].numel()) ** 0.5)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: describe(name) for name in NAMES}, indent=1) + "\n")
