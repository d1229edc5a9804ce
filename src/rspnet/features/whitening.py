"""Vectors as cosines should compare them: by what sets them apart, with no direction drowning the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.features.descriptor import Descriptor
from rspnet.features.spaces import Spaces, has_streams
from rspnet.models.backbone import Backbone

Vectors = NDArray[np.float32]
PRIOR = 10.0
"""How much a direction must vary to be shrunk, in mean squared lengths of a standardised vector (docs/evidence.md)."""
COUNTED = 1000
"""A larger gallery counts as one of so many: the prior was chosen by galleries of 720."""
FEWEST = 32
"""Windows of a library below which nothing is said of how windows vary."""
_BLOCK = 4096
_NOISE = 1e-9


@dataclass(frozen=True)
class Whitening:
    """A linear map of vectors, fitted to a gallery: PCA whitening with shrinkage.

    Attributes:
        middle: float64 [D], the gallery's mean.
        axes: float64 [D, K], its directions of greatest variance, each over how much the gallery varies along it.
    """

    middle: NDArray[np.float64]
    axes: NDArray[np.float64]

    def __call__(self, vectors: NDArray[np.floating]) -> Vectors:
        """Unit vectors [n, K] of vectors [n, D]; of the gallery's mean, and where K is 0, zeros."""
        found = np.empty((len(vectors), self.axes.shape[1]), np.float32)
        for start in range(0, len(vectors), _BLOCK):
            centred = torch.from_numpy(np.asarray(vectors[start : start + _BLOCK], np.float64) - self.middle)
            mapped = centred @ torch.from_numpy(self.axes)
            found[start : start + _BLOCK] = torch.nn.functional.normalize(mapped, dim=1).numpy()
        return found


def fit_whitening(gallery: NDArray[np.floating], *, longest: int | None = None, prior: float = PRIOR) -> Whitening:
    """The map under which vectors [N, D] like those of a gallery are best compared by cosines.

    Every number is standardised by its mean and deviation over the gallery. Then the part along each principal
    direction is multiplied by (n v + 10 D)^(-1/2), where v is the gallery's variance along it and n = min(N, 1000): a
    few directions in which all videos differ (how much moves, say) no longer outweigh those that tell what is done, and
    directions in which the gallery hardly varies are not blown up. Of a small gallery little is known, and little is
    changed.

    Args:
        gallery: at least one vector.
        longest: directions at most; by default all in which the gallery varies.
        prior: the 10.
    """
    values = torch.from_numpy(np.asarray(gallery, np.float64))
    middle, spread = values.mean(dim=0), values.std(dim=0, correction=0).clamp(min=1e-6)
    energies, directions = _principal((values - middle) / spread)
    kept = min(len(energies), longest or len(energies))
    rows, columns = values.shape
    weights = (energies[:kept] * min(1.0, COUNTED / rows) + prior * columns).rsqrt()
    axes = directions[:, :kept] * weights / spread[:, None]
    return Whitening(middle.numpy(), axes.numpy())


def comparison(descriptor: Descriptor) -> str:
    """What `comparable` makes of cosines, for stamps."""
    return "cosine" if descriptor == "mean" else "whitened cosine"


def comparable(gallery: Vectors, queries: Vectors, descriptor: Descriptor) -> tuple[Vectors, Vectors]:
    """Descriptors [N, D] and [Q, D] as cosines should compare them: those of "mean" as they are, others whitened."""
    return (gallery, queries) if descriptor == "mean" else whitened(gallery, queries)


def whitened(gallery: Vectors, queries: Vectors) -> tuple[Vectors, Vectors]:
    """Vectors [N, D] and [Q, D] under the map of the former; of a gallery of equal vectors both as they are."""
    found = fit_whitening(gallery)
    return (found(gallery), found(queries)) if found.axes.shape[1] else (gallery, queries)


def compared_spaces(
    gallery: Mapping[str, Vectors], queries: Mapping[str, Vectors], backbone: Backbone
) -> tuple[Spaces, Spaces]:
    """Windows as a library of the gallery compares them.

    Args:
        gallery: vectors of windows by kind, see `Embedder.window_vectors`.
        queries: likewise.
        backbone: what made them.
    """
    if not has_streams(backbone) or len(gallery["motion"]) < FEWEST:
        sides = [Spaces(own["motion"], own["appearance"]) for own in (gallery, queries)]
        return sides[0], sides[1]
    motion, appearance = (whitened(gallery[kind], queries[kind]) for kind in ("features", "appearance"))
    return Spaces(motion[0], appearance[0]), Spaces(motion[1], appearance[1])


def _principal(values: Tensor) -> tuple[Tensor, Tensor]:
    """Energies [K] of centred vectors [N, D] along their principal directions [D, K], greatest first, K the rank.

    Through the smaller of the two products. A direction's sign is that of its greatest number: the map is the same on
    every machine but for rounding.
    """
    rows, columns = values.shape
    energies, found = torch.linalg.eigh(values @ values.T if rows <= columns else values.T @ values)
    energies, found = energies.flip(0), found.flip(1)
    kept = energies > _NOISE * max(float(energies[0]), 1e-12)
    energies, found = energies[kept], found[:, kept]
    if rows <= columns:
        found = values.T @ found / energies.sqrt()
    greatest = found.gather(0, found.abs().argmax(dim=0, keepdim=True))
    return energies, found * greatest.sign()
