"""Keys: vectors of a momentum encoder, without gradients, with shuffle-BN over real and virtual ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rspnet.core.ranks import world_size
from rspnet.pretext.shuffle import global_permutation, shuffle, unshuffle
from rspnet.pretext.statistics import GroupStatistics


@torch.no_grad()
def encode_keys(encoder: nn.Module, clips: Tensor, *, groups: int, step_seed: int, stream: str) -> tuple[Tensor, ...]:
    """Vectors [B, D] of clips [B, 3, T, H, W] in the order of the clips, one for every head of the encoder.

    Args:
        encoder: the key encoder; in train mode clips are shuffled over all groups first.
        clips: this process's clips.
        groups: virtual ranks the clips are encoded in.
        step_seed: decides the permutation, the same on every rank.
        stream: names these keys among those of the step.
    """
    # One group in all: a permutation could not change its statistics.
    mixed = encoder.training and groups * world_size() > 1
    permutation = global_permutation(len(clips) * world_size(), step_seed=step_seed, stream=stream)
    if mixed:
        clips = shuffle(clips, permutation)
    statistics = GroupStatistics(encoder, groups=groups)
    outputs: list[tuple[Tensor, ...]] = []
    for part in clips.chunk(groups):
        with statistics.group():
            vectors = encoder(part)
        outputs.append((vectors,) if isinstance(vectors, Tensor) else vectors)
    statistics.finish()
    joined = [torch.cat(parts) for parts in zip(*outputs, strict=True)]
    return tuple(unshuffle(part, permutation) if mixed else part for part in joined)
