"""The memory of past A-VID keys (METHOD.md section 2, steps 5 and 8)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rspnet.core.errors import ConfigError
from rspnet.core.rng import torch_rng


class KeyQueue(nn.Module):
    """First in, first out memory of `size` unit vectors; its state is saved with the model.

    NOTE: the public code cuts the size to a multiple of the batch; here any batch fits any size and wraps.

    Attributes:
        keys: [size, dim], rows in no meaningful order.
        position: int64 [1], the row the next key goes to.
    """

    keys: Tensor
    position: Tensor

    def __init__(self, *, size: int, dim: int) -> None:
        """Fill with random unit vectors, the same ones for the same size and dim.

        Raises:
            ConfigError: size below 1.
        """
        super().__init__()
        if size < 1:
            raise ConfigError(f"queue_size is {size}, but A-VID needs at least 1 negative")
        noise = torch.randn(size, dim, generator=torch_rng("key queue", size, dim))
        self.register_buffer("keys", F.normalize(noise, dim=1))
        self.register_buffer("position", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys by these [B, dim], in their order; of more than `size` keys the last ones stay."""
        size = len(self.keys)
        rows = (self.position + torch.arange(len(keys), device=self.position.device)) % size
        self.keys[rows[-size:]] = keys[-size:].to(self.keys.dtype)
        self.position.copy_((self.position + len(keys)) % size)
