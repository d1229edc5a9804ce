"""Colour operations on planes: float32 [3, b, T, H, W] in 0..1, changed in place, one factor a clip.

They equal the usual ones (blend with black, mean, grey; hue by RGB -> HSV -> RGB; results cut to 0..1) to 1e-6, in
as few passes over memory as possible: on a CPU this is the hot path of the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from rspnet.core.transfer import send

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


def grey(planes: Tensor) -> Tensor:
    """Luma of planes [3, ...]: [...]."""
    red, green, blue = planes.unbind()
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def to_grey(planes: Tensor) -> None:
    """Replace all three planes by the luma."""
    planes.copy_(grey(planes))


def scale_brightness(planes: Tensor, factors: Sequence[float]) -> None:
    """Blend with black: clamp(f * x)."""
    planes.mul_(_per_clip(factors, planes)).clamp_(0, 1)


def scale_contrast(planes: Tensor, factors: Sequence[float]) -> None:
    """Blend with the mean luma of the whole clip: clamp(f * x + (1 - f) * mean)."""
    means = planes.mean(dim=(2, 3, 4), keepdim=True)
    _blend(planes, grey(means), factors)


def scale_saturation(planes: Tensor, factors: Sequence[float]) -> None:
    """Blend with the luma of each pixel: clamp(f * x + (1 - f) * luma)."""
    _blend(planes, grey(planes), factors)


def shift_hue(planes: Tensor, factors: Sequence[float]) -> None:
    """Turn the hue of each pixel by f turns of the colour circle, keeping HSV value and saturation.

    With M, m the largest and smallest channel and c = M - m, the hue in sixths of a turn is h = (g - b) / c,
    2 + (b - r) / c or 4 + (r - g) / c, by which channel is largest, and back again
    r = m + c clamp(|h - 3| - 1), g = m + c clamp(2 - |h - 2|), b = m + c clamp(2 - |h - 4|), clamps to 0..1.
    """
    red, green, blue = planes.unbind()
    largest = torch.maximum(red, green)
    smallest = torch.minimum(red, green)
    torch.maximum(largest, blue, out=largest)
    torch.minimum(smallest, blue, out=smallest)
    chroma = largest - smallest
    # Flags as floats and lerp by 0 or 1 (exact): torch.where and boolean masks cost 20 times as much on a CPU.
    is_red = torch.eq(red, largest, out=torch.empty_like(red))
    is_green = torch.eq(green, largest, out=torch.empty_like(red))
    hue = torch.lerp(red - green, blue - red, is_green).lerp_(green - blue, is_red)
    base = is_green.sub_(2).mul_(-1 / 3).mul_(is_red.neg_().add_(1))
    # In turns: sixths / 6. A grey pixel has chroma 0 and hue 0 / tiny = 0.
    hue.div_(chroma.clamp_min(1e-12).mul_(6)).add_(base).add_(_per_clip(factors, planes))
    hue.sub_(torch.floor(hue)).mul_(6)
    low = smallest.sub_(chroma)
    high = largest.add_(chroma)
    scratch = base
    torch.sub(hue, 3, out=scratch).abs_().clamp_(1, 2)
    torch.addcmul(low, scratch, chroma, out=red)
    for plane, centre in ((green, 2), (blue, 4)):
        torch.sub(hue, centre, out=scratch).abs_().clamp_(1, 2)
        torch.addcmul(high, scratch, chroma, value=-1, out=plane)


def blur(planes: Tensor, neighbours: Sequence[float]) -> None:
    """3 x 3 Gaussian blur of each frame, edges mirrored; a clip's kernel is [n, 1 - 2n, n] along each axis."""
    weight = _per_clip(neighbours, planes)
    padded = functional.pad(planes.flatten(0, 1), (1, 1, 1, 1, 0, 0), mode="reflect")
    padded = padded.view(*planes.shape[:3], *padded.shape[-2:])
    rows = (padded[..., :-2, :] + padded[..., 2:, :]).mul_(weight).add_(padded[..., 1:-1, :] * (1 - 2 * weight))
    torch.add(rows[..., :-2], rows[..., 2:], out=planes)
    planes.mul_(weight).add_(rows[..., 1:-1] * (1 - 2 * weight))


def _per_clip(factors: Sequence[float], planes: Tensor) -> float | Tensor:
    """A plain number for one clip, else a tensor [b, 1, 1, 1]."""
    if len(factors) == 1:
        return factors[0]
    return send(torch.tensor(factors, dtype=planes.dtype), planes.device).view(-1, 1, 1, 1)


def _blend(planes: Tensor, reference: Tensor, factors: Sequence[float]) -> None:
    """clamp(f * planes + (1 - f) * reference)."""
    factor = _per_clip(factors, planes)
    reference = reference * (1 - factor)
    if isinstance(factor, float):
        torch.add(reference, planes, alpha=factor, out=planes)
    else:
        planes.mul_(factor).add_(reference)
    planes.clamp_(0, 1)
