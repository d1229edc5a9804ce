"""What a video looks like, gathered chunk by chunk: a digest, how much moves, and a fingerprint of it all."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rspnet.video.clips import picture_changes, share_of_repeats

THUMBNAIL = 64
_SIDE = 8  # of a fingerprint's pictures
_MOMENTS = 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Looks:
    """Takes a video's thumbnails, uint8 [n, THUMBNAIL, THUMBNAIL, 3], in order; keeps a few bytes of each."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self._first: NDArray[np.uint8] | None = None
        self._last = np.zeros((0, THUMBNAIL, THUMBNAIL, 3), np.uint8)
        self._changes: list[NDArray[np.float64]] = []
        self._tiny: list[NDArray[np.uint8]] = []
        self.reach = 0.0
        """Mean levels by which the picture furthest from the first one differs from it."""

    def add(self, thumbnails: NDArray[np.uint8]) -> None:
        """Take the next ones."""
        if not len(thumbnails):
            return
        if self._first is None:
            self._first = thumbnails[0]
        self._digest.update(thumbnails.tobytes())
        self._changes.append(picture_changes(np.concatenate([self._last, thumbnails])))
        self._last = thumbnails[-1:]
        first = self._first.astype(np.int16)
        self.reach = max(self.reach, *(float(np.abs(first - picture).mean()) for picture in thumbnails))
        block = THUMBNAIL // _SIDE
        grey = (thumbnails @ _LUMA).reshape(-1, _SIDE, block, _SIDE, block).mean(axis=(2, 4))
        self._tiny.append(grey.round().astype(np.uint8))

    def __len__(self) -> int:
        """Pictures taken."""
        return sum(len(part) for part in self._tiny)

    @property
    def digest(self) -> str:
        """The same for the same pictures, whatever the container."""
        return self._digest.hexdigest()

    @property
    def repeated(self) -> float:
        """The share of pictures that only repeat the previous picture."""
        return share_of_repeats(np.concatenate(self._changes)) if self._changes else 0.0

    @property
    def fingerprint(self) -> str:
        """Text for `vectors`; "" without pictures."""
        if not self._tiny:
            return ""
        tiny = np.concatenate(self._tiny).astype(np.float32)
        moments = tiny[np.rint(np.linspace(0, len(tiny) - 1, _MOMENTS)).astype(int)]
        still = moments.mean(axis=0)
        parts = (_unit(still - still.mean()), _unit(moments - still))
        return base64.b64encode(np.concatenate([_packed(part) for part in parts]).tobytes()).decode()


def vectors(fingerprints: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of what stands still and of what moves in each video: float32 [N, 64] and [N, 512]."""
    values = np.stack([np.frombuffer(base64.b64decode(text), np.int8) for text in fingerprints]).astype(np.float32)
    still, moving = values[:, : _SIDE**2], values[:, _SIDE**2 :]
    still, moving = (part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-6) for part in (still, moving))
    return still, moving


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(values.reshape(-1) / max(float(np.linalg.norm(values)), 1e-6))


def _packed(unit: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.asarray((unit * (127 / max(float(np.abs(unit).max()), 1e-6))).round().astype(np.int8))
