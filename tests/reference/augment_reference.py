"""Slow twin of rspnet.data.augment in NumPy float64, hue through the standard library's colorsys."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

Clip = npt.NDArray[np.float64]
LUMA = np.array([0.299, 0.587, 0.114])
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def hue(clip: Clip, turns: float) -> Clip:
    def pixel(rgb: Clip) -> tuple[float, float, float]:
        h, s, v = colorsys.rgb_to_hsv(*rgb)
        return colorsys.hsv_to_rgb((h + turns) % 1.0, s, v)

    return np.apply_along_axis(pixel, -1, clip)


def blurred(clip: Clip, sigma: float) -> Clip:
    offsets = np.arange(-1, 2)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(clip, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    out = np.zeros_like(clip)
    for down in range(3):
        for right in range(3):
            out += kernel[down, right] * padded[:, down : down + clip.shape[1], right : right + clip.shape[2]]
    return out


def augmented(frames: npt.NDArray[np.uint8], row: npt.NDArray[np.float32], sigma: float) -> Clip:
    """One clip [T, H, W, 3] by its jitter row (grey, 4 factors, 4 operations, blur): [3, T, H, W], normalised."""
    clip = frames.astype(np.float64) / 255
    grey, factors, order, blur = row[0], row[1:5].astype(np.float64), row[5:9].astype(int), row[9]
    if grey:
        clip = np.repeat((clip @ LUMA)[..., None], 3, axis=-1)
    for operation in order:
        if operation < 0:
            continue
        factor = factors[operation]
        if operation == 0:
            clip = clip * factor
        elif operation == 1:
            clip = factor * clip + (1 - factor) * (clip @ LUMA).mean()
        elif operation == 2:
            clip = factor * clip + (1 - factor) * (clip @ LUMA)[..., None]
        else:
            clip = hue(clip, factor)
        clip = clip.clip(0, 1)
    if blur > 0:
        clip = blurred(clip, sigma)
    return np.moveaxis((clip - MEAN) / STD, -1, 0)
