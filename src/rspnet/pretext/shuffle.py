"""Shuffle-BN: which clips share a batch norm's statistics must not give the positive pair away (MoCo, section 3.3).

The global batch is the samples of all real ranks in rank order. It is permuted, cut into one part for every virtual
group of every rank, encoded, and put back in order. A clip travels to the rank that encodes it, and to no other: a rank
sends and receives no more than its own clips, however many ranks there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rspnet.core.distributed import rows_of_ranks
from rspnet.core.rng import torch_rng


def global_permutation(num_samples: int, *, step_seed: int, stream: str) -> Tensor:
    """The same int64 permutation [num_samples] on every rank, a function of the step and of the stream's name."""
    return torch.randperm(num_samples, generator=torch_rng("shuffle", step_seed, stream))


def shuffle(clips: Tensor, permutation: Tensor) -> Tensor:
    """This rank's part [B, ...] of the permuted global batch, in the memory format of `clips` [B, ...]."""
    mixed = rows_of_ranks(clips, permutation)
    if clips.dim() == 5 and clips.is_contiguous(memory_format=torch.channels_last_3d):
        return mixed.contiguous(memory_format=torch.channels_last_3d)
    return mixed


def unshuffle(vectors: Tensor, permutation: Tensor) -> Tensor:
    """Vectors [B, D] of this rank's part of the permuted batch -> those of this rank's own samples, in their order."""
    return rows_of_ranks(vectors, torch.argsort(permutation))
