"""Batches of pairs: samples stacked, and their clips augmented on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rspnet.data.augment import augment, augment_taking
from rspnet.data.clip_sets import ClipBatch, ClipSample, stack_clips
from rspnet.data.datasets import NoSample, PairSample
from rspnet.data.skipped import Skip


@dataclass(frozen=True)
class PairBatch:
    """Samples of one step on one rank; what each tensor means is said in `PairSample`.

    Attributes:
        query: uint8 [B, T, S, S, 3].
        key: uint8 [B, U, S, S, 3].
        key_same: int64 [B, T].
        key_other: int64 [B, T].
        query_jitter: float32 [B, JITTER_SIZE], always on the CPU: `augment` chooses kernels by it without waiting.
        key_jitter: the same for the key.
        query_seed: int64 [B], always on the CPU.
        key_seed: int64 [B], always on the CPU.
        index: int64 [B], videos, always on the CPU.
        skipped: videos given up on the way to this batch.
    """

    query: Tensor
    key: Tensor
    key_same: Tensor
    key_other: Tensor
    query_jitter: Tensor
    key_jitter: Tensor
    query_seed: Tensor
    key_seed: Tensor
    index: Tensor
    skipped: list[Skip]

    def __len__(self) -> int:
        """Clips in the batch."""
        return len(self.query)

    def pin_memory(self) -> PairBatch:
        """The batch in page-locked memory, for a copy that does not block."""
        return replace(
            self,
            query=self.query.pin_memory(),
            key=self.key.pin_memory(),
            key_same=self.key_same.pin_memory(),
            key_other=self.key_other.pin_memory(),
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> PairBatch:
        """The batch with its pixels and positions on `device`."""
        return replace(
            self,
            query=self.query.to(device, non_blocking=non_blocking),
            key=self.key.to(device, non_blocking=non_blocking),
            key_same=self.key_same.to(device, non_blocking=non_blocking),
            key_other=self.key_other.to(device, non_blocking=non_blocking),
        )


def collate(samples: Sequence[PairSample | ClipSample | NoSample]) -> PairBatch | ClipBatch | NoSample:
    """Stack samples of one kind; one that found no usable video makes the whole batch a `NoSample`."""
    nothing = next((sample for sample in samples if isinstance(sample, NoSample)), None)
    if nothing is not None:
        return nothing
    clip_sets = [sample for sample in samples if isinstance(sample, ClipSample)]
    return stack_clips(clip_sets) if clip_sets else stack_pairs([s for s in samples if isinstance(s, PairSample)])


def stack_pairs(usable: Sequence[PairSample]) -> PairBatch:
    """Samples as a batch."""
    return PairBatch(
        query=torch.stack([sample.query for sample in usable]),
        key=torch.stack([sample.key for sample in usable]),
        key_same=torch.stack([sample.key_same for sample in usable]),
        key_other=torch.stack([sample.key_other for sample in usable]),
        query_jitter=torch.stack([sample.query_jitter for sample in usable]),
        key_jitter=torch.stack([sample.key_jitter for sample in usable]),
        query_seed=torch.tensor([sample.query_seed for sample in usable]),
        key_seed=torch.tensor([sample.key_seed for sample in usable]),
        index=torch.tensor([sample.index for sample in usable]),
        skipped=[skip for sample in usable for skip in sample.skipped],
    )


def make_views(
    batch: PairBatch, *, noise_std: float = 0.0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Augment a batch where it is, and take both key clips from the key's frames.

    Args:
        batch: on the training device.
        noise_std: see `AugmentPreset.noise_std`.
        dtype: of the views.

    Returns:
        query, key at the same speed, key at the other speed: each [B, 3, T, S, S], channels_last_3d strides.
    """
    query = augment(batch.query, batch.query_jitter, noise_std=noise_std, seeds=batch.query_seed, dtype=dtype)
    key_same, key_other = augment_taking(
        batch.key,
        batch.key_jitter,
        [batch.key_same, batch.key_other],
        noise_std=noise_std,
        seeds=batch.key_seed,
        dtype=dtype,
    )
    return query, key_same, key_other
