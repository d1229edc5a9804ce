"""Scenes for pre-training without any licence trouble: jointed figures and soft shapes that act, drawn endlessly.

A scene has no label. One to three figures (people-like ones of 10 limbs, or trees of random limbs) and soft shapes move
their parts by rhythms of their own: cycles, strikes, wandering, single moves. Bodies are three-dimensional and seen
from any side; most stand upright, some lie, turn over or travel. Everything is a pure function of (seed, number).

Coordinates of bodies: x to the right, y up, z to the viewer, in heights of the figure; of pictures: (y, x) in sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng

Floats = NDArray[np.float64]

MIN_PERIOD, MAX_PERIOD = 10.0, 60.0
"""Frames of one cycle of a figure."""
RHYTHMS = ("cycle", "strike", "wander", "once")
_RHYTHM_SHARES = (0.45, 0.2, 0.15, 0.2)


@dataclass(frozen=True)
class Capsule:
    """A limb: the points within a radius, which may taper, of a segment that moves.

    Attributes:
        start: [T, 2] (y, x) in picture sides.
        end: [T, 2].
        radii: at start and end, [T] each.
        paint: number of the paint: parts of one number look alike.
    """

    start: Floats
    end: Floats
    radii: tuple[Floats, Floats]
    paint: int


@dataclass(frozen=True)
class Blob:
    """A soft shape: distance of the outline from the centre, by direction.

    Attributes:
        centre: [T, 2] (y, x) in picture sides.
        outline: [T, K], at K evenly spaced directions, in picture sides.
        paint: see `Capsule`.
    """

    centre: Floats
    outline: Floats
    paint: int


Part = Capsule | Blob


class Rhythm:
    """The movements of one body: curves of values in about -1..1 that share a tempo.

    Args:
        rng: where its kind, tempo and curves are drawn from.
        num_frames: T.
    """

    def __init__(self, rng: np.random.Generator, num_frames: int) -> None:
        self.rng, self.num_frames = rng, num_frames
        self.kind = str(rng.choice(RHYTHMS, p=_RHYTHM_SHARES))
        self.period = MIN_PERIOD * (MAX_PERIOD / MIN_PERIOD) ** rng.random()
        time = np.arange(num_frames) / self.period
        gain = rng.uniform(-0.4, 0.4) if rng.random() < 0.3 else 0.0  # slowing down or speeding up by up to 40 %
        self.phase = time * (1 + gain * (np.arange(num_frames) / num_frames - 0.5)) + rng.random()

    def curve(self, *, offset: float = 0.0, double: bool = False) -> Floats:
        """One movement [T]: `offset` in cycles against the others; `double` at twice the tempo."""
        phase = (2 if double else 1) * (self.phase + offset)
        if self.kind == "cycle":
            second = self.rng.uniform(0, 0.4)
            return np.asarray(
                np.sin(2 * math.pi * phase) + second * np.sin(4 * math.pi * phase + self.rng.uniform(0, 6))
            )
        if self.kind == "strike":
            return strike(phase % 1.0, rise=self.rng.uniform(0.06, 0.25), fall=self.rng.uniform(0.25, 0.6))
        if self.kind == "wander":
            periods = self.rng.uniform(0.7, 3.0, 3)[:, None]
            return np.asarray(np.sin(2 * math.pi * (phase / periods + self.rng.random((3, 1)))).mean(axis=0) * 1.4)
        length = self.rng.uniform(0.3, 1.0) * self.period
        begin = self.rng.uniform(-0.1, 0.9) * self.num_frames + offset * length
        return np.asarray(2 * _smooth((np.arange(self.num_frames) - begin) / length) - 1)


def strike(phase: Floats, *, rise: float, fall: float) -> Floats:
    """Out fast, back slowly, rest: [T] in -1..1 of phases in 0..1."""
    return np.asarray(2 * np.minimum(_smooth(phase / rise), 1 - _smooth((phase - rise) / fall)) - 1)


def _smooth(x: Floats) -> Floats:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def scene_parts(*, seed: int, number: int, num_frames: int) -> list[Part]:
    """The parts of a scene in the order in which they are painted, far ones first."""
    rng = numpy_rng("acting", seed, number)
    num_figures = int(rng.choice([0, 1, 2, 3], p=[0.1, 0.55, 0.25, 0.1]))
    num_blobs = int(rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1])) if num_figures else int(rng.integers(1, 4))
    parts: list[Part] = []
    for k in range(num_blobs):
        parts.append(_blob(numpy_rng("acting-blob", seed, number, k), num_frames, paint=100 + k))
    shared = Rhythm(numpy_rng("acting-pair", seed, number), num_frames) if rng.random() < 0.5 else None
    for k in range(num_figures):
        height = rng.uniform(0.55, 1.0) if num_figures == 1 else rng.uniform(0.35, 0.8)
        centre = 0.5 if num_figures == 1 else (k + 0.5) / num_figures
        place = np.array([0.5, centre]) + rng.normal(0, 0.06, 2)
        parts += _figure(
            numpy_rng("acting-figure", seed, number, k), num_frames, place=place, height=height, first_paint=10 * k,
            shared=shared,
        )  # fmt: skip
    return parts


def _blob(rng: np.random.Generator, num_frames: int, *, paint: int) -> Blob:
    rhythm = Rhythm(rng, num_frames)
    directions = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    radius = rng.uniform(0.06, 0.2)
    turn = rng.uniform(-1, 1) * 2 * rhythm.phase if rng.random() < 0.6 else np.zeros(num_frames)
    outline = np.ones((num_frames, len(directions)))
    for waves in range(2, 6):
        amount = rng.uniform(0, 0.5) / waves
        beat = 1 + (rhythm.curve(offset=rng.random()) if rng.random() < 0.5 else 0)
        angle = directions + 2 * math.pi * np.broadcast_to(turn, num_frames)[:, None] + rng.uniform(0, 6)
        outline += (amount * np.broadcast_to(beat, num_frames))[:, None] * np.cos(waves * angle)
    size = radius * (1 + (rng.uniform(0, 0.4) * rhythm.curve() if rng.random() < 0.4 else 0))
    outline = np.broadcast_to(size, num_frames)[:, None] * np.maximum(outline, 0.2)
    centre = rng.uniform(0.15, 0.85, 2) + _travel(rng, rhythm, num_frames, reach=0.4)
    return Blob(centre, outline, paint)


def _travel(rng: np.random.Generator, rhythm: Rhythm, num_frames: int, *, reach: float) -> Floats:
    """Where a body goes: [T, 2] (y, x) in picture sides, around 0."""
    kind = rng.choice(["stay", "cross", "swing", "circle", "hop"], p=[0.4, 0.2, 0.15, 0.1, 0.15])
    heading = rng.uniform(0, 2 * math.pi)
    ahead = np.array([0.4 * math.sin(heading), math.cos(heading)])
    time = np.linspace(-0.5, 0.5, num_frames)
    far = reach * rng.uniform(0.3, 1.0)
    if kind == "cross":
        return np.asarray(far * (time + rng.uniform(-0.6, 0.6) * (time**2 - 1 / 12))[:, None] * ahead * 2)
    if kind == "swing":
        return np.asarray(far / 2 * rhythm.curve()[:, None] * ahead)
    if kind == "circle":
        angle = 2 * math.pi * rhythm.phase
        return np.asarray(far / 3 * np.stack([np.sin(angle), np.cos(angle)], axis=1))
    if kind == "hop":
        high = -far / 2 * np.abs(np.sin(math.pi * rhythm.phase))
        return np.stack([high, rng.uniform(-0.5, 0.5) * time], axis=1)
    return np.zeros((num_frames, 2))


@dataclass(frozen=True)
class Limb:
    """A segment of a body.

    Attributes:
        parent: number of the limb it starts on; -1: at the root.
        along: where on the parent it starts, 0..1.
        rest: [3], its vector before any turn.
        beside: [3], how far beside the parent's axis it starts.
        radii: at start and end.
        paint: see `Capsule`.
        axis: [3], unit vector around which it turns.
        angle: [T], radians.
    """

    parent: int
    along: float
    rest: Floats
    beside: Floats
    radii: tuple[float, float]
    paint: int
    axis: Floats
    angle: Floats


def _figure(
    rng: np.random.Generator, num_frames: int, *, place: Floats, height: float, first_paint: int, shared: Rhythm | None
) -> list[Part]:
    """The limbs of one figure as capsules in the picture, far ones first."""
    rhythm = Rhythm(rng, num_frames)
    if shared is not None:  # two that act together
        rhythm.kind, rhythm.period, rhythm.phase = shared.kind, shared.period, shared.phase + rng.choice([0.0, 0.5])
    limbs = _person(rng, rhythm) if rng.random() < 0.65 else _creature(rng, rhythm)
    body = _orientation(rng, rhythm, num_frames)
    where = place + _travel(rng, rhythm, num_frames, reach=0.5)
    grown = height * (1 + (0.25 * rng.uniform(-1, 1) * np.linspace(-1, 1, num_frames) if rng.random() < 0.3 else 0))
    return figure_parts(limbs, body, where, np.broadcast_to(grown, num_frames), first_paint=first_paint)


def figure_parts(
    limbs: Sequence[Limb], body: Floats, where: Floats, height: Floats, *, first_paint: int = 0
) -> list[Part]:
    """A body's limbs as capsules in the picture, far ones first.

    Args:
        limbs: every limb comes after its parent.
        body: [T, 3, 3], how the whole body is turned.
        where: [T, 2] (y, x) of its root, in picture sides.
        height: [T], in picture sides.
        first_paint: added to the limbs' numbers of paints.
    """
    num_frames = len(body)
    turns: list[Floats] = []
    starts: list[Floats] = []
    ends: list[Floats] = []
    for limb in limbs:
        above = body if limb.parent < 0 else turns[limb.parent]
        turn = above @ rotation(limb.axis, limb.angle)
        origin = np.zeros((num_frames, 3))
        if limb.parent >= 0:
            first, last = starts[limb.parent], ends[limb.parent]
            origin = first + limb.along * (last - first)
        origin = origin + above @ limb.beside
        turns.append(turn)
        starts.append(origin)
        ends.append(origin + turn @ limb.rest)
    order = np.argsort([float(ends[k][:, 2].mean()) for k in range(len(limbs))], kind="stable")
    parts: list[Part] = []
    for k in order:
        points = [where + height[:, None] * np.stack([-p[:, 1], p[:, 0]], axis=1) for p in (starts[k], ends[k])]
        radii = (height * limbs[k].radii[0], height * limbs[k].radii[1])
        parts.append(Capsule(points[0], points[1], radii, first_paint + limbs[k].paint))
    return parts


def _orientation(rng: np.random.Generator, rhythm: Rhythm, num_frames: int) -> Floats:
    """How the whole body is turned: [T, 3, 3]."""
    still = np.zeros(num_frames)
    azimuth = still + rng.uniform(-math.pi, math.pi)
    if rng.random() < 0.25:
        azimuth = azimuth + rng.uniform(-1, 1) * math.pi * (rhythm.curve() if rng.random() < 0.5 else 2 * rhythm.phase)
    roll = still + (rng.uniform(-math.pi, math.pi) if rng.random() < 0.2 else rng.normal(0, 0.12))
    choice = rng.random()
    if choice < 0.1:
        roll = roll + rng.choice([-1, 1]) * 2 * math.pi * rhythm.phase
    elif choice < 0.35:
        roll = roll + rng.uniform(0.1, 0.8) * rhythm.curve()
    elevation = still + rng.uniform(-0.1, 0.4)
    turn = rotation(np.array([1.0, 0, 0]), elevation) @ rotation(np.array([0, 0, 1.0]), roll)
    return np.asarray(turn @ rotation(np.array([0, 1.0, 0]), azimuth))


def rotation(axis: Floats, angle: Floats) -> Floats:
    """Rotations [T, 3, 3] by angles [T] around a unit axis [3] (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sin, cos = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.asarray(np.eye(3) + sin * cross + (1 - cos) * (cross @ cross))


def _person(rng: np.random.Generator, rhythm: Rhythm) -> list[Limb]:
    """Torso, head, two arms and two legs of two limbs each; about 1 high, the hip at the origin."""
    wide = rng.uniform(0.8, 1.3)
    up, down = np.array([0, 1.0, 0]), np.array([0, -1.0, 0])
    nothing = np.zeros(3)
    still = np.zeros(rhythm.num_frames)
    lean = rng.normal(0, 0.1) + (rng.uniform(0, 0.9) * rhythm.curve(offset=rng.random()) if rng.random() < 0.4 else 0)
    nod = rng.normal(0, 0.1) + (rng.uniform(0, 0.5) * rhythm.curve() if rng.random() < 0.3 else 0)
    limbs = [
        Limb(-1, 0, 0.32 * up, nothing, (0.075 * wide, 0.09 * wide), 0, _axis(rng), still + lean),
        Limb(0, 1, 0.11 * up, np.array([0, 0.04, 0]), (0.045, 0.065), 1, _axis(rng), still + nod),
    ]
    arms, legs = (rng.random() < share for share in (0.85, 0.65))
    opposite = rng.choice([0.0, 0.5])  # both sides together, or by turns
    one_arm = rng.choice([-1, 1]) if rng.random() < 0.35 else 0
    for kind, active in (("arm", arms), ("leg", legs)):
        twin = np.random.default_rng(int(rng.integers(2**32)))
        state, together = twin.bit_generator.state, rng.random() < 0.75
        for side in (-1, 1):
            if together:  # both sides move alike
                twin.bit_generator.state = state
            moves = active and not (kind == "arm" and one_arm == side)
            limbs += _extremity(
                twin, rhythm, kind, side, moves, offset=opposite * (side > 0), first=len(limbs), down=down
            )
    return limbs


def _extremity(
    rng: np.random.Generator,
    rhythm: Rhythm,
    kind: str,
    side: int,
    moves: bool,
    *,
    offset: float,
    first: int,
    down: Floats,
) -> list[Limb]:
    """An arm or a leg: two limbs that bend around one axis or two; `first` is the number of the upper one."""
    arm = kind == "arm"
    length, radius = (0.17, 0.035) if arm else (0.24, 0.05)
    place = np.array([side * (0.11 if arm else 0.055), -0.03 if arm else 0.0, 0.0])
    raised = rng.uniform(-0.3, 2.6) if arm else rng.normal(0, 0.2)
    axis = _axis(rng, sideways=0.5 if arm else 0.2) * np.array([1, 1, side])
    reach = rng.uniform(0.2, 1.4) if arm else rng.uniform(0.1, 0.9)
    still = np.zeros(rhythm.num_frames)
    upper = still - raised + (reach * rhythm.curve(offset=offset) if moves else 0)
    bent = rng.uniform(0, 1.6) if arm else -rng.uniform(0, 0.6)
    lag = offset + rng.uniform(-0.3, 0.3)
    lower = still - bent - (rng.uniform(0, 0.9) * (1 + rhythm.curve(offset=lag)) / 2 if moves else 0)
    x = np.array([1.0, 0, 0])
    return [
        Limb(0, 1.0 if arm else 0.0, length * down, place, (radius, 0.8 * radius), 0 if arm else 2, axis, upper),
        Limb(first, 1.0, length * down, np.zeros(3), (0.8 * radius, 0.6 * radius), 3 if arm else 2, x, lower),
    ]


def _creature(rng: np.random.Generator, rhythm: Rhythm) -> list[Limb]:
    """A tree of 2 to 8 limbs of any lengths."""
    limbs: list[Limb] = []
    still = np.zeros(rhythm.num_frames)
    for k in range(int(rng.integers(2, 9))):
        parent = -1 if k == 0 else int(rng.integers(0, k))
        rest = rng.normal(size=3)
        rest *= rng.uniform(0.12, 0.4) / np.linalg.norm(rest)
        beat = rng.uniform(0.1, 1.3) * rhythm.curve(offset=float(rng.integers(4)) / 4) if rng.random() < 0.7 else 0
        radius = rng.uniform(0.02, 0.09)
        along = float(rng.choice([1.0, 1.0, rng.random()]))
        taper = (radius, radius * rng.uniform(0.5, 1.2))
        limbs.append(Limb(parent, along, rest, np.zeros(3), taper, int(rng.integers(4)), _axis(rng, 1.0), still + beat))
    return limbs


def _axis(rng: np.random.Generator, sideways: float = 0.3) -> Floats:
    """A unit vector near the x axis (bending forwards and backwards), the further the larger `sideways`."""
    axis = np.array([1.0, 0, 0]) + sideways * rng.normal(size=3)
    return np.asarray(axis / np.linalg.norm(axis))
