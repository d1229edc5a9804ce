"""Batches: collating samples, worker processes, and the views the method trains on.

Workers come from a fork server: it imports this package once and forks each worker from that clean, single-threaded
process. A plain fork of the training process would copy its threads' locks (progress bar, OpenMP, CUDA) and can hang;
a plain spawn would import torch again for every worker. The cost is the usual one: a program that makes a loader with
workers at import time needs `if __name__ == "__main__":`. Each worker runs one torch thread and ignores Ctrl-C: the
training process alone decides when to stop.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from rspnet.core.errors import RSPNetError, TooManySkippedError
from rspnet.data.augment import augment, augment_taking
from rspnet.data.datasets import ClipPairDataset, EvalClipDataset, EvalSample, NoSample, PairSample
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import Skip, SkipLog

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it
_PREFETCH = 2

Item = TypeVar("Item")


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


def collate(samples: Sequence[PairSample | NoSample]) -> PairBatch | NoSample:
    """Stack samples; one that found no usable video makes the whole batch a `NoSample`."""
    usable: list[PairSample] = []
    for sample in samples:
        if isinstance(sample, NoSample):
            return sample
        usable.append(sample)
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


class PairLoader:
    """An iterable of `PairBatch`, one for each of the sampler's steps; see `make_loader`."""

    def __init__(self, loader: Iterable[PairBatch | NoSample], skip_log: SkipLog | None) -> None:
        self._loader = loader
        self._skip_log = skip_log

    def __iter__(self) -> Iterator[PairBatch]:
        """Batches in step order, after noting their skipped videos.

        Raises:
            TooManySkippedError: the log's limit is passed, or no usable video was found for a sample.
            RSPNetError: shared memory ran out.
        """
        for batch in _named_failures(self._loader):
            if self._skip_log is not None:
                self._skip_log.add(batch.skipped)
            if isinstance(batch, NoSample):
                last = batch.skipped[-1]
                raise TooManySkippedError(
                    f"{len(batch.skipped)} videos in a row could not be used for pre-training; "
                    f"the last was {last.name!r}: {last.reason}"
                )
            yield batch


def make_loader(
    dataset: ClipPairDataset,
    sampler: PairSampler,
    *,
    num_workers: int,
    skip_log: SkipLog | None = None,
    pin_memory: bool = False,
) -> PairLoader:
    """A loader of the sampler's batches; what it gives does not depend on the number of workers.

    Args:
        dataset: where requests become samples.
        sampler: this rank's stream of requests.
        num_workers: worker processes; 0 reads in this process.
        skip_log: told of every skipped video before its batch is given out.
        pin_memory: give batches in page-locked memory (for CUDA).

    Raises:
        RSPNetError: shared memory cannot hold the batches that workers prepare.
    """
    local_batch = sampler.batch_size // sampler.world_size
    _check_shared_memory(num_workers * _PREFETCH * local_batch * dataset.max_sample_bytes(), num_workers)
    loader: DataLoader[PairSample | NoSample] = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
        worker_init_fn=ignore_interrupts,
        multiprocessing_context=_context(num_workers),
        prefetch_factor=_PREFETCH if num_workers else None,
    )
    # DataLoader's type names the samples; what comes out of it is what `collate` makes.
    return PairLoader(cast(Iterable[PairBatch | NoSample], loader), skip_log)


def make_eval_loader(dataset: EvalClipDataset, *, num_workers: int) -> Iterator[EvalSample]:
    """Evaluation views of all videos in the order of the records, one video at a time.

    Raises:
        RSPNetError: shared memory is short.
    """
    _check_shared_memory(num_workers * _PREFETCH * dataset.max_sample_bytes(), num_workers)
    loader: DataLoader[EvalSample] = DataLoader(
        dataset,
        batch_size=None,
        num_workers=num_workers,
        worker_init_fn=ignore_interrupts,
        multiprocessing_context=_context(num_workers),
        prefetch_factor=_PREFETCH if num_workers else None,
    )
    return _named_failures(loader)


def ignore_interrupts(_worker: int) -> None:
    """Leave Ctrl-C to the training process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _context(num_workers: int) -> multiprocessing.context.BaseContext | None:
    if num_workers == 0:
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rspnet.data.loader"])
    return context


def _named_failures(loader: Iterable[Item]) -> Iterator[Item]:
    """Iterate; a worker killed for lack of shared memory becomes an error that says so."""
    try:
        yield from loader
    except RuntimeError as error:
        if any(sign in str(error) for sign in ("shared memory", "Bus error", "No space left")):
            raise RSPNetError(_shared_memory_advice("ran out while workers were reading")) from error
        raise


def _check_shared_memory(needed_bytes: int, num_workers: int) -> None:
    if num_workers == 0 or not _SHARED_MEMORY.is_dir():
        return
    free_bytes = shutil.disk_usage(_SHARED_MEMORY).free
    if needed_bytes > free_bytes:
        mebibyte = 2**20
        problem = f"has {free_bytes / mebibyte:.0f} MiB free, {num_workers} workers need {needed_bytes / mebibyte:.0f}"
        raise RSPNetError(_shared_memory_advice(problem))


def _shared_memory_advice(problem: str) -> str:
    return (
        f"shared memory ({_SHARED_MEMORY}) {problem}: use fewer workers or a smaller batch, "
        "or give the container more (docker --shm-size)"
    )
