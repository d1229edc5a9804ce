"""Named augmentations, and the only place where the mean and the deviation of pixel values are written down."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.core.errors import ConfigError

# ImageNet statistics of RGB values as shares of 0..1 (METHOD: settings of the published pre-training).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class AugmentPreset:
    """How strongly a training clip is changed. One draw counts for all frames of a clip.

    Attributes:
        crop_area: least and greatest share of the picture that the crop covers.
        crop_aspect: least and greatest width / height of the crop, drawn evenly in the logarithm.
        flip_p: probability of a left-right flip.
        grayscale_p: probability of losing all colour.
        brightness: factor drawn from 1 -+ this.
        contrast: factor drawn from 1 -+ this.
        saturation: factor drawn from 1 -+ this.
        hue: shift drawn from -+ this, in turns of the colour circle.
        jitter_p: probability that brightness, contrast, saturation and hue are changed at all (in random order).
        blur_p: probability of a 3 x 3 Gaussian blur.
        blur_sigma: its sigma in pixels.
        noise_std: deviation of Gaussian noise drawn afresh for every pixel of every frame, as a share of the value
            range 0..1. Hides codec traces that would give the speed away (docs/small-scale.md).
    """

    crop_area: tuple[float, float] = (0.4, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip_p: float = 0.5
    grayscale_p: float = 0.2
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.4
    jitter_p: float = 1.0
    blur_p: float = 0.0
    blur_sigma: float = 1.5
    noise_std: float = 0.0


PRESETS: dict[str, AugmentPreset] = {
    # METHOD: settings, row "augmentation".
    "published": AugmentPreset(),
    # The stronger variant of the same row.
    "aug_plus": AugmentPreset(hue=0.1, jitter_p=0.8, blur_p=0.5),
}

FINETUNING_CROP = (0.25, 1.0)
"""Least and greatest share of the picture that a crop of fine-tuning covers (METHOD section 4)."""


def augment_preset(name: str) -> AugmentPreset:
    """The preset called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown augmentation {name!r}: choose from {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
