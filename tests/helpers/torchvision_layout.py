"""State dicts as torchvision's video ResNets have them, written down from its documentation (it is not installed)."""

from __future__ import annotations

import torch
from torch import Tensor

PARAMETERS = {"r3d_18": 33_371_472, "r2plus1d_18": 31_505_325}
"""As its documentation states them, with the classifier for Kinetics-400."""


_MIDDLE = {
    (64, 64): 144, (64, 128): 230, (128, 128): 288, (128, 256): 460, (256, 256): 576, (256, 512): 921, (512, 512): 1152
}  # fmt: skip


def torchvision_state(name: str, *, seed: int = 0) -> dict[str, Tensor]:
    """Seeded float32 weights under the names and in the order of `torchvision.models.video`'s `name`."""
    generator = torch.Generator().manual_seed(seed)
    return {key: _value(key, shape, generator) for key, shape in _shapes(name).items()}


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    factored = name == "r2plus1d_18"
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(key: str, *shape: int) -> None:
        shapes[f"{key}.weight"] = shape

    def norm(key: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{part}"] = (channels,)
        shapes[f"{key}.num_batches_tracked"] = ()

    def cube(key: str, channels_in: int, channels_out: int, middle: int) -> None:
        if not factored:
            conv(key, channels_out, channels_in, 3, 3, 3)
            return
        conv(f"{key}.0", middle, channels_in, 1, 3, 3)
        norm(f"{key}.1", middle)
        conv(f"{key}.3", channels_out, middle, 3, 1, 1)

    if factored:
        conv("stem.0", 45, 3, 1, 7, 7)
        norm("stem.1", 45)
        conv("stem.3", 64, 45, 3, 1, 1)
        norm("stem.4", 64)
    else:
        conv("stem.0", 64, 3, 3, 7, 7)
        norm("stem.1", 64)
    channels_in = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            key = f"layer{stage}.{block}"
            middle = _MIDDLE[channels_in, channels]
            cube(f"{key}.conv1.0", channels_in, channels, middle)
            norm(f"{key}.conv1.1", channels)
            cube(f"{key}.conv2.0", channels, channels, middle)
            norm(f"{key}.conv2.1", channels)
            if channels_in != channels:
                conv(f"{key}.downsample.0", channels, channels_in, 1, 1, 1)
                norm(f"{key}.downsample.1", channels)
            channels_in = channels
    return shapes | {"fc.weight": (400, 512), "fc.bias": (400,)}


def _value(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    normal = torch.randn(shape, generator=generator)
    if key.endswith("running_var"):
        return 1 + 0.1 * normal.abs()
    if len(shape) == 1:
        return 0.1 * normal + float(key.endswith("weight"))
    return normal * (2 / normal[0].numel()) ** 0.5
