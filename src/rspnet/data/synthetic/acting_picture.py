"""Pixels of acting scenes: a camera over a background, textured limbs and soft shapes in front."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng
from rspnet.data.synthetic.acting import Blob, Capsule, Floats, Part, Rhythm, scene_parts
from rspnet.video.writer import write_video

Pixels = NDArray[np.float32]
Colour = tuple[float, ...]
FRAMES_PER_SECOND = 25
_TILE = 1.6
"""Side of a background in picture sides."""


@dataclass(frozen=True)
class Paint:
    """How a part looks.

    Attributes:
        first: RGB in 0..1.
        second: the other colour of stripes and spots.
        kind: "plain", "along", "across" (stripes) or "spots".
        wave: of the pattern, in radians a unit of the part's own coordinates.
        shade: how much darker the edges are, 0..1.
    """

    first: Colour
    second: Colour
    kind: str = "plain"
    wave: float = 4.0
    shade: float = 0.3


def render_scene(*, seed: int, number: int, num_frames: int, size: int) -> NDArray[np.uint8]:
    """All frames of a scene: uint8 RGB [T, H, W, 3]."""
    rng = numpy_rng("acting-picture", seed, number)
    shift, frames = background(rng, num_frames=num_frames, size=size)
    carried = rng.random() < 0.4  # else the camera goes with the figures
    for part in scene_parts(seed=seed, number=number, num_frames=num_frames):
        paint = _drawn_paint(numpy_rng("acting-paint", seed, number, part.paint))
        draw_part(frames, part, offset=-shift if carried else np.zeros_like(shift), paint=paint)
    if rng.random() < 0.3:  # the light changes
        light = Rhythm(rng, num_frames).curve() * rng.uniform(0, 0.15)
        frames *= (1 + light).astype(np.float32)[:, None, None, None]
    noise = rng.uniform(0, 0.02)
    frames += noise * rng.standard_normal(frames.shape, dtype=np.float32)
    return np.asarray((np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8))


def write_scenes(root: Path, *, num_videos: int, seed: int, num_frames: int, size: int, workers: int = 2) -> None:
    """Render and encode scenes 0 to `num_videos` - 1 of a seed: MP4 and AVI by turns; files that are there stay.

    Workers are threads: much of rendering and encoding releases the interpreter lock.

    Raises:
        RSPNetError: a file cannot be written.
    """

    def write(number: int) -> None:
        path = Path(root) / f"{number:05d}.{'avi' if number % 2 else 'mp4'}"
        if not path.exists():  # files appear whole
            frames = render_scene(seed=seed, number=number, num_frames=num_frames, size=size)
            write_video(path, frames, fps=FRAMES_PER_SECOND)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        for _ in pool.map(write, range(num_videos)):
            pass


def background(
    rng: np.random.Generator, *, num_frames: int, size: int, colours: tuple[Colour, Colour] | None = None
) -> tuple[Floats, Pixels]:
    """The camera's path [T, 2] (y, x) in picture sides, and what it sees of a picture: [T, H, W, 3] in 0..1.

    With `colours` the picture has shades between these two only.
    """
    tile = _tile(rng, round(_TILE * size))
    if colours is not None:
        grey = tile.mean(axis=2, keepdims=True)
        dark, light = (np.array(colour, np.float32) for colour in colours)
        tile = dark + (grey - grey.min()) / np.maximum(np.ptp(grey), np.float32(1e-6)) * (light - dark)
    still = np.zeros(num_frames)
    path, zoom, roll = np.zeros((num_frames, 2)), still, still
    if rng.random() < 0.55:
        rhythm, room = Rhythm(rng, num_frames), (_TILE - 1) / 2
        rhythm.kind = str(rng.choice(["wander", "once", "cycle"]))
        rhythm.phase = rhythm.phase * rng.uniform(0.2, 1.0)
        far = room * rng.uniform(0.05, 0.6)
        path = far * np.stack([0.5 * rhythm.curve(), rhythm.curve(offset=0.3)], axis=1)
        if rng.random() < 0.5:
            zoom = 0.2 * rng.uniform(-1, 1) * rhythm.curve(offset=0.1)
        if rng.random() < 0.3:
            roll = 0.15 * rng.uniform(-1, 1) * rhythm.curve(offset=0.2)
    scale = (1 - 0.15 * (zoom != 0).any() + zoom * 0.6) / _TILE
    cos, sin = scale * np.cos(roll), scale * np.sin(roll)
    rows = [np.stack([cos, -sin, 2 * path[:, 1] / _TILE], 1), np.stack([sin, cos, 2 * path[:, 0] / _TILE], 1)]
    theta = torch.from_numpy(np.stack(rows, axis=1).astype(np.float32))
    grid = F.affine_grid(theta, [num_frames, 3, size, size], align_corners=False)
    source = torch.from_numpy(tile).permute(2, 0, 1)[None].expand(num_frames, -1, -1, -1)
    seen = F.grid_sample(source, grid, padding_mode="reflection", align_corners=False)
    return path, np.ascontiguousarray(seen.permute(0, 2, 3, 1).numpy())


def _tile(rng: np.random.Generator, side: int) -> Pixels:
    """A picture [side, side, 3] in 0..1: smooth or rough noise, or a heap of shapes, often out of focus."""
    kind = rng.choice(["noise", "heap", "plain"], p=[0.4, 0.45, 0.15])
    first = _noise(rng, side, slope=rng.uniform(0.8, 2.2))[..., None]
    colours = rng.uniform(0, 1, (2, 3))
    picture = colours[0] + (colours[1] - colours[0]) / (1 + np.exp(-1.5 * first))
    picture += 0.1 * rng.random() * _noise(rng, side, slope=1.0)[..., None] * rng.normal(size=3)
    if kind == "heap":
        axis = np.arange(side) / side
        for _ in range(int(rng.integers(10, 90))):
            y0, x0 = rng.random(2)
            high, wide = 0.03 + 0.25 * rng.random(2) ** 3
            dy, dx = (axis - y0)[:, None] / high, (axis - x0)[None] / wide
            inside = np.maximum(abs(dy), abs(dx)) < 1 if rng.random() < 0.5 else dy**2 + dx**2 < 1
            shade = 1 + rng.uniform(-0.3, 0.3) * (dy + dx) / 2
            picture = np.where(inside[..., None], rng.uniform(0, 1, 3) * shade[..., None], picture)
    if kind == "plain":
        picture = colours[0] + 0.15 * (picture - colours[0])
    picture = np.clip(picture, 0, 1)
    if rng.random() < 0.5:
        picture = _blurred(picture, sigma=rng.uniform(0.5, 3.0))
    grey = rng.uniform(0, 0.8)  # scenery is seldom garish
    picture = picture + grey * (picture.mean(axis=2, keepdims=True) - picture)
    low = rng.uniform(0, 0.3)
    return np.asarray(low + (rng.uniform(0.6, 1.0) - low) * picture, np.float32)


def _frequencies(side: int) -> Floats:
    frequency = np.fft.fftfreq(side, 1 / side)
    return np.asarray(np.hypot(frequency[:, None], frequency[None, :]))


def _noise(rng: np.random.Generator, side: int, *, slope: float) -> Floats:
    """Noise whose amplitude falls with the frequency to the power `slope`, unit variance: [side, side]."""
    cycles = np.maximum(_frequencies(side), 1)
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) / cycles**slope
    spectrum[0, 0] = 0
    field = np.fft.ifft2(spectrum).real
    return np.asarray(field / field.std())


def _blurred(picture: Floats, *, sigma: float) -> Floats:
    gain = np.exp(-2 * (math.pi * sigma * _frequencies(len(picture)) / len(picture)) ** 2)
    return np.asarray(np.fft.ifft2(np.fft.fft2(picture, axes=(0, 1)) * gain[..., None], axes=(0, 1)).real)


def draw_part(frames: Pixels, part: Part, *, offset: Floats, paint: Paint) -> None:
    """Composite one part, shifted by `offset` [T, 2] in picture sides, into [T, H, W, 3] in place."""
    size = frames.shape[1]
    if isinstance(part, Capsule):
        points = [((point + offset) * size).astype(np.float32) for point in (part.start, part.end)]
        radii = [np.maximum(radius * size, 0.6).astype(np.float32) for radius in part.radii]
        low = np.minimum(points[0], points[1]) - np.maximum(radii[0], radii[1])[:, None] - 1
        high = np.maximum(points[0], points[1]) + np.maximum(radii[0], radii[1])[:, None] + 1
    else:
        centre = ((part.centre + offset) * size).astype(np.float32)
        reach = part.outline.max(axis=1)[:, None].astype(np.float32) * size + 1
        low, high = centre - reach, centre + reach
    corner = np.floor(low).astype(np.int64)
    height, width = (int(np.ceil((high - corner)[:, axis].max())) for axis in (0, 1))
    y = corner[:, 0, None, None].astype(np.float32) + np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    x = corner[:, 1, None, None].astype(np.float32) + np.arange(width, dtype=np.float32) + np.float32(0.5)
    if isinstance(part, Capsule):
        outside, u, v = _capsule(y, x, points, radii)
    else:
        outside, u, v = _blob(y, x, centre, part, size)
    alpha = np.clip(np.float32(0.5) - outside, 0, 1)[..., None]
    colour = coloured(u, v, paint)
    for t, frame in enumerate(frames):
        top, left = corner[t]
        rows = slice(max(0, top), min(size, top + height))
        columns = slice(max(0, left), min(size, left + width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        inner = (t, slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        below = frame[rows, columns]
        below += alpha[inner] * (colour[inner] - below)


def _capsule(y: Pixels, x: Pixels, points: list[Pixels], radii: list[Pixels]) -> tuple[Pixels, Pixels, Pixels]:
    """Distance outside in pixels; coordinates along the limb (0..2.5) and across (-1..1)."""
    (ay, ax), (by, bx) = ((p[:, 0, None, None], p[:, 1, None, None]) for p in points)
    dy, dx = by - ay, bx - ax
    square = np.maximum(dy * dy + dx * dx, np.float32(1e-3))
    py, px = y - ay, x - ax
    share = np.clip((py * dy + px * dx) / square, 0, 1)
    radius = radii[0][:, None, None] + share * (radii[1] - radii[0])[:, None, None]
    outside = np.hypot(py - share * dy, px - share * dx) - radius
    across = (px * dy - py * dx) / (np.sqrt(square) * radius)
    return outside, share * np.float32(2.5), across


def _blob(y: Pixels, x: Pixels, centre: Pixels, part: Blob, size: int) -> tuple[Pixels, Pixels, Pixels]:
    py, px = y - centre[:, 0, None, None], x - centre[:, 1, None, None]
    distance, count = np.hypot(py, px), part.outline.shape[1]
    place = (np.arctan2(py, px) / np.float32(2 * math.pi) % 1) * count
    whole = np.minimum(place.astype(np.int64), count - 1)
    frame = np.arange(len(y))[:, None, None]
    outline = part.outline.astype(np.float32) * size
    near = outline[frame, whole]
    radius = near + (place - whole) * (outline[frame, (whole + 1) % count] - near)
    return distance - radius, px / radius, py / radius


def coloured(u: Pixels, v: Pixels, paint: Paint) -> Pixels:
    """Colours [..., 3] of a paint at its own coordinates."""
    level = np.zeros_like(u + v)
    if paint.kind != "plain":
        along = np.sin(paint.wave * u) if paint.kind != "across" else 1
        level = level + along * (np.sin(paint.wave * v) if paint.kind != "along" else 1)
    share = np.clip(np.float32(0.5) + np.float32(1.5) * level, 0, 1)[..., None].astype(np.float32)
    if paint.kind == "plain":
        share[...] = 0
    first, second = (np.array(colour, np.float32) for colour in (paint.first, paint.second))
    shade = 1 - np.float32(paint.shade) * np.minimum(v * v, 1)[..., None]
    return np.asarray((first + share * (second - first)) * shade, np.float32)


def _drawn_paint(rng: np.random.Generator) -> Paint:
    first, second = rng.uniform(0, 1, (2, 3)).astype(np.float32)
    kind = rng.choice(["plain", "along", "across", "spots"], p=[0.5, 0.2, 0.15, 0.15])
    return Paint(tuple(first), tuple(second), str(kind), rng.uniform(2, 8), rng.uniform(0, 0.6))
