"""Derived randomness: every random draw is a function of named numbers, never of what was drawn before.

Data draws use (seed, epoch, sample, view), device draws (seed, step, ...), so the number of workers, a resume in
mid-epoch or another rank layout changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(*keys: int | str) -> int:
    """A 63-bit seed that depends on every key and on their order, the same on every machine and Python."""
    digest = hashlib.blake2b(repr(keys).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_rng(*keys: int | str) -> np.random.Generator:
    """A fresh NumPy generator for these keys."""
    return np.random.Generator(np.random.Philox(derive_seed(*keys)))


def torch_rng(*keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator for these keys."""
    import torch  # the rest is used before it is needed

    return torch.Generator(device=device).manual_seed(derive_seed(*keys))
