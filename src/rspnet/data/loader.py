"""Batches for pre-training, made in worker processes.

A worker that a video's decoder crashes or hangs is replaced, the video is named and its sample replaced as any
unreadable video's is, so the run goes on and stays a function of its seed; see `data.reading`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, overload

from rspnet.core.counts import counted
from rspnet.core.errors import TooManySkippedError
from rspnet.data.batches import PairBatch, collate
from rspnet.data.clip_sets import ClipBatch, ClipSetDataset
from rspnet.data.clip_tasks import ClipSampler
from rspnet.data.datasets import ClipPairDataset, NoSample
from rspnet.data.reading import BatchTask, check_shared_memory, read_batches
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import SkipLog

Batch = TypeVar("Batch")


class PairReader:
    """Makes batches in a worker."""

    def __init__(self, dataset: ClipPairDataset | ClipSetDataset) -> None:
        self.dataset = dataset

    def __call__(self, task: BatchTask) -> PairBatch | ClipBatch | NoSample:
        """The batch of some requests."""
        requests, deadly = task
        return collate([self.dataset.sample(request, deadly) for request in requests])


class PairLoader(Generic[Batch]):
    """An iterable of batches, one for each of the sampler's steps; see `make_loader`."""

    def __init__(
        self,
        dataset: ClipPairDataset | ClipSetDataset,
        sampler: PairSampler | ClipSampler,
        *,
        num_workers: int,
        skip_log: SkipLog | None,
    ) -> None:
        self._dataset = dataset
        self._sampler = sampler
        self._num_workers = num_workers
        self._skip_log = skip_log

    def __iter__(self) -> Iterator[Batch]:
        """Batches in step order, after noting their skipped videos.

        Raises:
            TooManySkippedError: the log's limit is passed, or no usable video was found for a sample.
            RSPNetError: shared memory ran out.
        """
        batches: Iterator[Any] = read_batches(PairReader(self._dataset), self._sampler, workers=self._num_workers)
        for batch in batches:
            if self._skip_log is not None:
                self._skip_log.add(batch.skipped)
            if isinstance(batch, NoSample):
                last = batch.skipped[-1]
                raise TooManySkippedError(
                    f"{counted(len(batch.skipped), 'video')} in a row could not be used for pre-training; "
                    f"the last was {last.name!r}: {last.reason}",
                    skipped=batch.skipped,
                )
            yield batch


@overload
def make_loader(
    dataset: ClipPairDataset, sampler: PairSampler, *, num_workers: int, skip_log: SkipLog | None = None
) -> PairLoader[PairBatch]: ...


@overload
def make_loader(
    dataset: ClipSetDataset, sampler: ClipSampler, *, num_workers: int, skip_log: SkipLog | None = None
) -> PairLoader[ClipBatch]: ...


def make_loader(
    dataset: ClipPairDataset | ClipSetDataset,
    sampler: PairSampler | ClipSampler,
    *,
    num_workers: int,
    skip_log: SkipLog | None = None,
) -> PairLoader[Any]:
    """A loader of the sampler's batches; what it gives does not depend on the number of workers.

    Args:
        dataset: where requests become samples.
        sampler: this rank's stream of requests.
        num_workers: worker processes; 0 reads in this process.
        skip_log: gets every skipped video before its batch is given out.

    Raises:
        RSPNetError: shared memory cannot hold the batches that workers prepare.
    """
    local_batch = sampler.batch_size // sampler.world_size
    check_shared_memory(local_batch * dataset.max_sample_bytes(), num_workers)
    return PairLoader(dataset, sampler, num_workers=num_workers, skip_log=skip_log)
