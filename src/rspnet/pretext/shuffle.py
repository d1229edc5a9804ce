"""Shuffle-BN: which clips share a batch norm's statistics must not give the positive pair away (MoCo, section 3.3).

The global batch is the samples of all real ranks in rank order. It is permuted, cut into one part for every virtual
group of every rank, encoded, and put back in order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rspnet.core.distributed import gather_batch, rank, world_size
from rspnet.core.rng import torch_rng
from rspnet.core.transfer import send


def global_permutation(num_samples: int, *, step_seed: int, stream: str) -> Tensor:
    """The same int64 permutation [num_samples] on every rank, a function of the step and of the stream's name."""
    return torch.randperm(num_samples, generator=torch_rng("shuffle", step_seed, stream))


def shuffle(clips: Tensor, permutation: Tensor) -> Tensor:
    """This rank's part [B, ...] of the permuted global batch, in the memory format of `clips` [B, ...]."""
    mine = send(_own_rows(permutation, len(clips)), clips.device)
    mixed = gather_batch(clips)[mine]
    if clips.dim() == 5 and clips.is_contiguous(memory_format=torch.channels_last_3d):
        return mixed.contiguous(memory_format=torch.channels_last_3d)
    return mixed.contiguous()


def unshuffle(vectors: Tensor, permutation: Tensor) -> Tensor:
    """Vectors [B, D] of this rank's part of the permuted batch -> those of this rank's own samples, in their order."""
    back = send(_own_rows(torch.argsort(permutation), len(vectors)), vectors.device)
    return gather_batch(vectors)[back]


def _own_rows(rows: Tensor, batch_size: int) -> Tensor:
    """This rank's slice of something about the global batch."""
    assert len(rows) == batch_size * world_size(), "every rank must hold the same number of samples"
    return rows[rank() * batch_size : (rank() + 1) * batch_size]
