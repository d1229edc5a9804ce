"""What happens to the pixels of a clip: drawn in the workers, done in batches on the training device.

Workers draw a `ClipDraw` from a derived generator: the crop box and the flip are applied while reading, in uint8; the
rest travels as one row of numbers a clip and is applied here, without a branch that depends on a pixel:
grayscale, then brightness, contrast, saturation and hue in a random order, blur, noise, normalise.

NOTE: contrast pulls towards the mean over the whole clip (paper: one draw and one mean per clip); torchvision v2 takes
a mean per frame, which adds flicker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.transfer import send
from rspnet.data import colour
from rspnet.data.presets import MEAN, STD, AugmentPreset

Box = tuple[int, int, int, int]

# A jitter row: grayscale flag; factors of brightness, contrast, saturation, hue; these four (0 to 3, -1 for none) in
# the order they run; blur weight of a neighbour.
GRAY, FACTORS, ORDER, BLUR = 0, slice(1, 5), slice(5, 9), 9
JITTER_SIZE = 10
IDENTITY = (0.0, 1.0, 1.0, 1.0, 0.0, -1.0, -1.0, -1.0, -1.0, 0.0)

Operation = Callable[[Tensor, Sequence[float]], None]
_OPERATIONS: tuple[Operation, ...] = (
    colour.scale_brightness,
    colour.scale_contrast,
    colour.scale_saturation,
    colour.shift_hue,
)
_CROP_TRIES = 10
# Clips worked on together: one on a CPU, where a clip's planes fit the cache; all on an accelerator.
_CPU_CHUNK = 1


@dataclass(frozen=True)
class ClipDraw:
    """Everything random about one clip's looks.

    Attributes:
        box: top, left, height, width of the crop in pixels of the video.
        flip: mirror left and right.
        jitter: float32 [JITTER_SIZE], the row `augment` reads.
        noise_seed: seed of the clip's noise.
    """

    box: Box
    flip: bool
    jitter: NDArray[np.float32]
    noise_seed: int


def draw_clip(preset: AugmentPreset, *, height: int, width: int, rng: np.random.Generator) -> ClipDraw:
    """Draw one clip's crop, flip, colours, blur and noise seed for a video of height x width pixels."""
    return ClipDraw(
        box=draw_box(preset, height=height, width=width, rng=rng),
        flip=bool(rng.random() < preset.flip_p),
        jitter=draw_jitter(preset, rng),
        noise_seed=int(rng.integers(2**63 - 1)),
    )


def draw_box(preset: AugmentPreset, *, height: int, width: int, rng: np.random.Generator) -> Box:
    """Draw a crop of the preset's area and aspect: (top, left, height, width).

    After 10 draws that do not fit, the largest centred crop whose aspect is within the preset's bounds.
    """
    low, high = preset.crop_aspect
    for _ in range(_CROP_TRIES):
        area = height * width * rng.uniform(*preset.crop_area)
        aspect = np.exp(rng.uniform(np.log(low), np.log(high)))
        box_width, box_height = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
            return int(top), int(left), box_height, box_width
    box_width = min(width, max(1, round(height * high)))
    box_height = min(height, max(1, round(width / low)))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def centre_square(height: int, width: int) -> Box:
    """The largest centred square, the evaluation view: (top, left, height, width)."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def draw_jitter(preset: AugmentPreset, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a jitter row: float32 [JITTER_SIZE]; always the same number of draws, whatever the outcome."""
    row = np.array(IDENTITY, dtype=np.float32)
    row[GRAY] = rng.random() < preset.grayscale_p
    strengths = np.array([preset.brightness, preset.contrast, preset.saturation, preset.hue])
    middle = np.array([1.0, 1.0, 1.0, 0.0])
    least = np.where(middle == 1, np.maximum(0.0, middle - strengths), -strengths)
    factors = rng.uniform(least, middle + strengths)
    order = rng.permutation(4)
    if rng.random() < preset.jitter_p:
        row[FACTORS], row[ORDER] = factors, order
    if rng.random() < preset.blur_p:
        row[BLUR] = gaussian_neighbour(preset.blur_sigma)
    return row


def gaussian_neighbour(sigma: float) -> float:
    """Weight of a neighbour in a normalised 3-tap Gaussian; the centre has 1 - 2 times it."""
    tap = float(np.exp(-0.5 / sigma**2))
    return tap / (1 + 2 * tap)


@torch.no_grad()
def augment(
    frames: Tensor,
    jitter: Tensor,
    *,
    noise_std: float = 0.0,
    seeds: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Change the colours of a batch of clips and normalise it.

    Args:
        frames: uint8 [B, T, H, W, 3] on any device.
        jitter: float32 [B, JITTER_SIZE], kept on the CPU (from another device it costs a synchronisation).
        noise_std: deviation of fresh noise per pixel, as a share of the value range 0..1, before normalising.
        seeds: int64 [B], each clip's noise seed; needed only with noise.
        dtype: of the result; the arithmetic is float32.

    Returns:
        [B, 3, T, H, W] with channels_last_3d strides, normalised.
    """
    out = torch.empty(frames.shape, dtype=dtype, device=frames.device)
    for part, planes in _augmented(frames, jitter, noise_std, seeds):
        _interleave(planes, out[part])
    return out.permute(0, 4, 1, 2, 3)


@torch.no_grad()
def augment_taking(
    frames: Tensor,
    jitter: Tensor,
    positions: Sequence[Tensor],
    *,
    noise_std: float = 0.0,
    seeds: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """`augment` a batch of clips [B, U, H, W, 3] once and take several clips from it.

    Args:
        frames: see `augment`, with U frames.
        jitter: see `augment`.
        positions: int64 [B, T] each, the frames of each clip to take.
        noise_std: see `augment`.
        seeds: see `augment`.
        dtype: see `augment`.

    Returns:
        One [B, 3, T, H, W] with channels_last_3d strides for each of `positions`.
    """
    outs = [torch.empty((*taken.shape, *frames.shape[2:]), dtype=dtype, device=frames.device) for taken in positions]
    for part, planes in _augmented(frames, jitter, noise_std, seeds):
        whole = torch.empty((*planes.shape[1:], 3), dtype=dtype, device=frames.device)
        _interleave(planes, whole)
        first_frame = torch.arange(len(whole), device=frames.device)[:, None] * whole.shape[1]
        for taken, out in zip(positions, outs, strict=True):
            rows = (taken[part] + first_frame).flatten()
            torch.index_select(whole.flatten(0, 1), 0, rows, out=out[part].view(-1, *out.shape[2:]))
    return [out.permute(0, 4, 1, 2, 3) for out in outs]


@torch.no_grad()
def normalise(frames: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 [B, T, H, W, 3] to [B, 3, T, H, W] (channels_last_3d strides) by mean and deviation alone."""
    scale = send(torch.tensor([1 / (255 * std) for std in STD]), frames.device)
    shift = send(torch.tensor([-mean / std for mean, std in zip(MEAN, STD, strict=True)]), frames.device)
    return torch.addcmul(shift, frames, scale).to(dtype).permute(0, 4, 1, 2, 3)


def denormalise(views: Tensor) -> NDArray[np.uint8]:
    """Normalised clips [B, 3, T, H, W] as pixels to look at, uint8 [B, T, H, W, 3]; what is out of range is cut off."""
    mean, std = (torch.tensor(values, device=views.device) for values in (MEAN, STD))
    pixels = (views.detach().float().permute(0, 2, 3, 4, 1) * std + mean) * 255
    return np.asarray(pixels.round().clamp(0, 255).to(torch.uint8).cpu().numpy())


def _augmented(
    frames: Tensor, jitter: Tensor, noise_std: float, seeds: Tensor | None
) -> Iterator[tuple[slice, Tensor]]:
    """Chunks of a batch: which clips, and their normalised planes [3, b, T, H, W]."""
    rows = jitter.tolist()
    chunk = _CPU_CHUNK if frames.device.type == "cpu" else len(frames)
    for start in range(0, len(frames), chunk):
        part = slice(start, start + chunk)
        planes = _to_planes(frames[part])
        _recolour(planes, rows[part])
        if noise_std > 0:
            assert seeds is not None, "noise needs seeds"
            _add_noise(planes, noise_std, seeds[part].tolist())
        for plane, mean, std in zip(planes, MEAN, STD, strict=True):
            plane.sub_(mean).mul_(1 / std)
        yield part, planes


def _to_planes(frames: Tensor) -> Tensor:
    """uint8 [b, T, H, W, 3] to float32 planes [3, b, T, H, W] in 0..1."""
    planes = torch.empty((3, *frames.shape[:-1]), dtype=torch.float32, device=frames.device)
    return planes.copy_(frames.movedim(-1, 0)).mul_(1 / 255)


def _interleave(planes: Tensor, out: Tensor) -> None:
    """Planes [3, b, T, H, W] into out [b, T, H, W, 3]."""
    for channel, plane in enumerate(planes):
        out[..., channel].copy_(plane)


def _add_noise(planes: Tensor, std: float, seeds: Sequence[int]) -> None:
    """Add each clip's own Gaussian noise [3, T, H, W] in place."""
    for clip, seed in enumerate(seeds):
        generator = torch.Generator(planes.device).manual_seed(seed)
        shape = planes[:, clip].shape
        planes[:, clip] += torch.randn(shape, generator=generator, device=planes.device).mul_(std)


def _recolour(planes: Tensor, rows: Sequence[Sequence[float]]) -> None:
    """Grayscale, jitter in each clip's own order, blur; planes [3, b, T, H, W] in place.

    Clips that run the same operation in the same slot are done together; all choices are made from host numbers.
    """
    _on_clips(planes, [(clip, 1.0) for clip, row in enumerate(rows) if row[GRAY]], lambda part, _: colour.to_grey(part))
    for slot in range(4):
        for operation, function in enumerate(_OPERATIONS):
            chosen = [(clip, row[FACTORS][operation]) for clip, row in enumerate(rows) if row[ORDER][slot] == operation]
            _on_clips(planes, chosen, function)
    _on_clips(planes, [(clip, row[BLUR]) for clip, row in enumerate(rows) if row[BLUR] > 0], colour.blur)


def _on_clips(planes: Tensor, chosen: Sequence[tuple[int, float]], function: Operation) -> None:
    """Run an in-place operation on some clips of planes [3, b, T, H, W], each with its factor."""
    if not chosen:
        return
    clips, factors = zip(*chosen, strict=True)
    if len(clips) == planes.shape[1]:
        function(planes, factors)
        return
    where = send(torch.tensor(clips), planes.device)
    part = planes.index_select(1, where)
    function(part, factors)
    planes.index_copy_(1, where, part)
