"""Geometry and pixels of one procedural scene: an object on its path, textures, backgrounds, compositing.

Everything is a pure function of a `Scene`. Coordinates are (y, x) in pixels, pixel centres at n + 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng

Floats = NDArray[np.float64]
Pixels = NDArray[np.float32]

MOTIONS = ("translate", "rotate", "oscillate", "bounce", "zoom", "orbit")
SHAPES = ("circle", "square", "triangle", "star", "cross", "hexagon")
TEXTURES = ("stripes", "checks", "dots", "rings", "spokes", "zigzag", "marble", "bricks")
BACKGROUNDS = ("clouds", "gravel", "waves", "plaid", "blobs")
MIN_PERIOD, MAX_PERIOD = 14.0, 32.0
"""Frames of one oscillation, hop, zoom or turn around the orbit."""

_COLOURS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "stripes": ((0.90, 0.10, 0.12), (0.98, 0.95, 0.90)),
    "checks": ((0.98, 0.85, 0.10), (0.08, 0.08, 0.10)),
    "dots": ((0.10, 0.25, 0.85), (0.95, 0.97, 1.00)),
    "rings": ((0.05, 0.55, 0.25), (0.75, 0.98, 0.55)),
    "spokes": ((0.92, 0.15, 0.75), (0.10, 0.02, 0.20)),
    "zigzag": ((1.00, 0.50, 0.05), (0.08, 0.15, 0.45)),
    "marble": ((0.10, 0.80, 0.85), (0.40, 0.10, 0.60)),
    "bricks": ((0.62, 0.24, 0.14), (0.95, 0.85, 0.70)),
}


@dataclass(frozen=True)
class Scene:
    """What to draw; the fields are those of `rspnet.data.synthetic.procedural.ProceduralClip`."""

    motion: str
    texture: str
    shape: str
    speed: float
    direction: float
    background: str
    distractor: str
    num_frames: int
    size: int
    seed: int


@dataclass(frozen=True)
class Track:
    """Where the object is in each frame: centre [T, 2] (y, x), radius [T] of its outer circle, angle [T] radians."""

    centre: Floats
    radius: Floats
    angle: Floats


@lru_cache(maxsize=64)
def object_track(scene: Scene) -> Track:
    """The object's path; `speed` is the root mean square over whole periods (see `ProceduralClip.speed`)."""
    rng = numpy_rng("procedural-track", scene.seed)
    time = np.arange(scene.num_frames, dtype=np.float64)
    size, speed = scene.size, scene.speed
    heading = np.array([math.sin(scene.direction), math.cos(scene.direction)])
    sense = 1.0 if heading[1] > 0 else -1.0
    radius = size * rng.uniform(0.15, 0.21)
    place, period_draw, phase, angle = rng.random(2), rng.random(), rng.random(), rng.uniform(0, 2 * math.pi)
    zero = np.zeros_like(time)
    move, grow, turn = np.zeros((scene.num_frames, 2)), zero, zero
    room = radius
    if scene.motion == "translate":
        move = speed * time[:, None] * heading
    elif scene.motion == "rotate":
        turn = sense * speed / radius * time
    elif scene.motion == "oscillate":
        # x = A sin(2 pi t / P): root mean square speed is sqrt(2) pi A / P.
        per_frame = speed / (math.sqrt(2) * math.pi)
        period = _period(period_draw, (size / 2 - radius) / per_frame)
        wave = np.sin(2 * math.pi * (time / period + phase))
        move, room = per_frame * period * wave[:, None] * heading, radius + per_frame * period
    elif scene.motion == "bounce":
        # Hops of parabolas with mean square vertical speed 3/4 v^2, drifting sideways at v / 2; 2 H is the arc's room.
        height = 0.375 * speed * _period(period_draw, (size - 2 * radius) / (0.375 * speed))
        hop = (time * 0.375 * speed / height + phase) % 1.0
        move = np.stack([height * (0.5 - 4 * hop * (1 - hop)), sense * speed / 2 * time], axis=1)
        room = radius + height / 2
    elif scene.motion == "zoom":
        # side = 2 r; r = r0 + A sin: root mean square of the side's rate is 2 sqrt(2) pi A / P.
        radius = 0.18 * size
        per_frame = speed / (2 * math.sqrt(2) * math.pi)
        period = _period(period_draw, 0.11 * size / per_frame)
        start = phase if sense > 0 else phase + math.pi
        grow = per_frame * period * np.sin(2 * math.pi * time / period + start)
        room = radius + per_frame * period
    elif scene.motion == "orbit":
        turn_radius_per_frame = speed / (2 * math.pi)
        period = _period(period_draw, (size / 2 - radius) / turn_radius_per_frame)
        around = 2 * math.pi * (sense * time / period + phase)
        move = turn_radius_per_frame * period * np.stack([np.sin(around), np.cos(around)], axis=1)
        room = radius + turn_radius_per_frame * period
    else:
        raise ValueError(f"unknown motion {scene.motion!r}")
    centre = room + place * max(0.0, size - 2 * room) + move
    if scene.motion in ("translate", "bounce"):
        centre %= size  # out on one side, in on the other: the picture is a torus for these two
    return Track(centre, radius + grow, angle + turn)


def _period(draw: float, longest: float) -> float:
    """Log-uniform period in frames, no longer than the picture has room for."""
    longest = max(MIN_PERIOD, min(MAX_PERIOD, longest))
    return MIN_PERIOD * float((longest / MIN_PERIOD) ** draw)


def object_boxes(scene: Scene) -> Floats:
    """[T, 4] of (top, left, height, width) around the object's outer circle."""
    path = object_track(scene)
    side = 2 * path.radius[:, None]
    return np.concatenate([path.centre - side / 2, side, side], axis=1)


def still_object_box(scene: Scene) -> Floats | None:
    """[4] (top, left, height, width) of the static object, in the corner farthest from the path; None without one."""
    if not scene.distractor:
        return None
    radius = 0.15 * scene.size
    near, far = radius + 0.02 * scene.size, scene.size - radius - 0.02 * scene.size
    corners = np.array([[near, near], [near, far], [far, near], [far, far]])
    distance = np.linalg.norm(object_track(scene).centre[:, None] - corners, axis=2).mean(axis=0)
    centre = corners[int(distance.argmax())]
    return np.concatenate([centre - radius, [2 * radius, 2 * radius]])


def render(scene: Scene) -> NDArray[np.uint8]:
    """All frames of a scene: uint8 [T, H, W, 3]."""
    frames = _drifting_background(scene)
    box = still_object_box(scene)
    if box is not None:
        shape, texture = scene.distractor.split("-")
        still = Track((box[:2] + box[2:] / 2)[None], box[2:3] / 2, np.zeros(1))
        seed = int(numpy_rng("procedural-distractor", scene.seed).integers(2**31))
        _draw(frames, still, shape=shape, texture=texture, seed=seed)
    _draw(frames, object_track(scene), shape=scene.shape, texture=scene.texture, seed=scene.seed)
    frames *= 255
    frames += 0.5
    return frames.astype(np.uint8)


def _drifting_background(scene: Scene) -> Pixels:
    """A tile that drifts at constant velocity under the picture, by bilinear interpolation: [T, H, W, 3] in 0..1."""
    size = scene.size
    tile = background_tile(scene.background, size)
    period = tile.shape[0] - size - 1
    rng = numpy_rng("procedural-drift", scene.seed)
    speed = size / 640 * 8 ** rng.random()
    heading = rng.uniform(0, 2 * math.pi)
    start = rng.uniform(0, period, 2)
    velocity = speed * np.array([math.sin(heading), math.cos(heading)])
    corner = (start - velocity * np.arange(scene.num_frames)[:, None]) % period
    whole = np.floor(corner).astype(np.int64)
    part = (corner - whole).astype(np.float32)
    frames = np.empty((scene.num_frames, size, size, 3), np.float32)
    for frame, (y, x), (fy, fx) in zip(frames, whole, part, strict=True):
        view = tile[y : y + size + 1, x : x + size + 1]
        rows = view[:-1] * (1 - fy)
        rows += view[1:] * fy
        np.multiply(rows[:, :-1], 1 - fx, out=frame)
        frame += rows[:, 1:] * fx
    return frames


@lru_cache(maxsize=64)
def background_tile(name: str, size: int) -> Pixels:
    """A periodic picture in two muted colours, wrapped on by `size` + 1: [P + size + 1, P + size + 1, 3] in 0..1."""
    family, number = name.split("-")
    rng = numpy_rng("procedural-background", family, int(number))
    period = -(-size * 4 // 3)
    axis = np.arange(period) / period
    y, x = np.meshgrid(axis, axis, indexing="ij")
    if family == "clouds":
        pattern = _noise(rng, period, low=1, high=5)
    elif family == "gravel":
        pattern = _noise(rng, period, low=8, high=16)
    elif family == "waves":
        across, down = rng.integers(2, 6, 2)
        pattern = np.sin(2 * math.pi * (across * x + down * y + 0.25 * _noise(rng, period, low=1, high=3)))
    elif family == "plaid":
        across, down = rng.integers(4, 9, 2)
        pattern = np.sin(2 * math.pi * across * x) + np.sin(2 * math.pi * down * y)
    elif family == "blobs":
        pattern = np.tanh(2.5 * _noise(rng, period, low=3, high=7))
    else:
        raise ValueError(f"unknown background family {family!r}")
    pattern = (pattern - pattern.min()) / (pattern.max() - pattern.min())
    grey, tint = rng.uniform(0.3, 0.6), rng.uniform(-0.1, 0.1, 3)
    contrast = rng.uniform(0.2, 0.32)
    colour = grey + tint + contrast * (pattern[..., None] - 0.5) * rng.uniform(0.7, 1.3, 3)
    tile = np.clip(colour, 0, 1).astype(np.float32)
    return np.pad(tile, ((0, size + 1), (0, size + 1), (0, 0)), mode="wrap")


def _noise(rng: np.random.Generator, period: int, *, low: float, high: float) -> Floats:
    """Periodic Gaussian noise of `low` to `high` cycles a tile, unit variance: [P, P]."""
    frequency = np.fft.fftfreq(period, 1 / period)
    cycles = np.hypot(frequency[:, None], frequency[None, :])
    spectrum = np.fft.fft2(rng.standard_normal((period, period))) * ((cycles >= low) & (cycles <= high))
    field = np.fft.ifft2(spectrum).real
    return np.asarray(field / field.std(), np.float64)


def _draw(frames: Pixels, path: Track, *, shape: str, texture: str, seed: int) -> None:
    """Composite a textured shape into [T, H, W, 3] in place; a path of one frame stands still."""
    size = frames.shape[1]
    patch = math.ceil(2 * float(path.radius.max())) + 3
    corner = np.floor(path.centre - patch / 2).astype(np.int64)
    grid = np.arange(patch, dtype=np.float32) + np.float32(0.5)
    offset = (corner - path.centre).astype(np.float32)
    y = offset[:, 0, None, None] + grid[:, None]
    x = offset[:, 1, None, None] + grid[None, :]
    radius = path.radius.astype(np.float32)[:, None, None]
    cos, sin = (f(path.angle).astype(np.float32)[:, None, None] / radius for f in (np.cos, np.sin))
    u, v = x * cos + y * sin, y * cos - x * sin
    alpha = np.clip(0.5 - _outside(shape, u, v) * radius, 0, 1)[..., None]
    colour = _paint(texture, u, v, seed)
    rows, columns = ((corner[:, axis, None] + np.arange(patch)) % size for axis in (0, 1))
    for t, frame in enumerate(frames):
        k = t % len(corner)
        where = np.ix_(rows[k], columns[k])
        below = frame[where]
        frame[where] = below + alpha[k] * (colour[k] - below)


def _outside(shape: str, u: Pixels, v: Pixels) -> Pixels:
    """Signed distance (about) to the shape of outer radius 1, negative inside, in units of the radius."""
    if shape == "circle":
        return np.hypot(u, v) - 1
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - np.float32(math.sqrt(0.5))
    if shape == "cross":
        long, wide = np.float32(math.cos(0.35)), np.float32(math.sin(0.35))
        across = np.maximum(np.abs(u) - long, np.abs(v) - wide)
        return np.minimum(across, np.maximum(np.abs(u) - wide, np.abs(v) - long))
    corners, inner = {"triangle": (3, 0.5), "hexagon": (6, math.cos(math.pi / 6)), "star": (5, 0.45)}[shape]
    # Fold the plane into half a sector: there the outline is the line from the tip (1, 0) to the notch.
    half = np.float32(math.pi / corners)
    folded = np.abs((np.arctan2(v, u) + half) % (2 * half) - half)
    distance = np.hypot(u, v)
    along, aside = distance * np.cos(folded), distance * np.sin(folded)
    notch_x, notch_y = inner * math.cos(half), inner * math.sin(half)
    length = math.hypot(notch_y, 1 - notch_x)
    normal_x, normal_y = np.float32(notch_y / length), np.float32((1 - notch_x) / length)
    return np.asarray((along - 1) * normal_x + aside * normal_y, np.float32)


def _paint(texture: str, u: Pixels, v: Pixels, seed: int) -> Pixels:
    """Colours [..., 3] of a texture at object coordinates u, v in -1..1; no pattern is unchanged by small turns."""
    rng = numpy_rng("procedural-texture", seed)
    wave = np.float32(2 * math.pi / rng.uniform(0.5, 0.62))
    p, q = u * wave + np.float32(rng.uniform(0, 6)), v * wave + np.float32(rng.uniform(0, 6))
    if texture == "stripes":
        level = np.sin(p)
    elif texture == "checks":
        level = 2 * np.sin(p * np.float32(0.8)) * np.sin(q * np.float32(0.8))
    elif texture == "dots":
        level = np.cos(p) + np.cos(q) - np.float32(0.3)
    elif texture == "rings":
        level = np.sin(np.hypot(u - np.float32(0.35), v - np.float32(0.2)) * wave)
    elif texture == "spokes":
        level = np.sin(5 * np.arctan2(v - np.float32(0.15), u + np.float32(0.25)))
    elif texture == "zigzag":
        level = np.sin(p + np.float32(1.4) * np.arcsin(np.sin(q * np.float32(0.7))))
    elif texture == "marble":
        level = np.sin(p * np.float32(0.45) + 2 * np.sin(q * np.float32(0.4)) + np.sin((p + q) * np.float32(0.6)))
    elif texture == "bricks":
        shifted = p * np.float32(0.5) + np.float32(math.pi / 2) * np.sign(np.sin(q * np.float32(0.5)))
        level = np.minimum(np.abs(np.sin(q * np.float32(0.5))), np.abs(np.sin(shifted * np.float32(0.5)))) * 4 - 1
    else:
        raise ValueError(f"unknown texture {texture!r}")
    share = np.clip(np.float32(0.5) + np.float32(0.9) * level, 0, 1)[..., None].astype(np.float32)
    first, second = (np.array(colour, np.float32) for colour in _COLOURS[texture])
    first, second = (
        np.clip(colour + rng.uniform(-0.06, 0.06, 3), 0, 1).astype(np.float32) for colour in (first, second)
    )
    return np.asarray(second + share * (first - second), np.float32)
