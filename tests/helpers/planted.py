"""Videos in which events of two motions, slide and shake, happen at known seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rspnet.video.writer import write_video

FPS, SIDE = 10, 48
Planted = tuple[str, int, int]
"""A class, and the seconds at which it starts and ends."""


def plan_events(count: int, *, seed: int) -> list[Planted]:
    """Events of 4 to 6 seconds, 3 to 5 apart, of the two classes in a random order, as often each."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(["slide", "shake"] * (count // 2))
    events, second = [], 3
    for name in names:
        length = int(rng.integers(4, 7))
        events.append((str(name), second, second + length))
        second += length + int(rng.integers(3, 6))
    return events


def write_events(path: Path, events: list[Planted], *, seed: int) -> None:
    """A still scene in which, during an event, the picture slides or shakes; it ends 3 seconds behind the last.

    Every event has a texture of its own; between events it stays.
    """
    number, place = 0, np.zeros(2, int)
    picture, frames = _texture(1000 * seed), []
    for frame in range((events[-1][2] + 3) * FPS):
        second = frame / FPS
        now = next((name for name, start, end in events if start <= second < end), None)
        if any(second == start for _, start, _ in events):
            number += 1
            picture = _texture(1000 * seed + number)
        if now == "slide":
            place = (place + np.array([0, 1])) % SIDE
        elif now == "shake":
            place = (place + np.array([6 if frame % 2 else -6, 0])) % SIDE
        frames.append(picture[place[0] : place[0] + SIDE, place[1] : place[1] + SIDE])
    write_video(path, np.stack(frames), fps=FPS)


def _texture(seed: int) -> np.ndarray:
    """A picture of random blocks, twice as large as a frame."""
    blocks = np.random.default_rng(seed).integers(30, 225, (SIDE // 2, SIDE // 2, 3), np.uint8)
    return blocks.repeat(4, axis=0).repeat(4, axis=1)
