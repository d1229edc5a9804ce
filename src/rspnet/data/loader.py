"""Batches: collating samples, worker processes, and the views the method trains on.

Workers are those of `core.workers`: one that a video's decoder crashes or hangs is replaced, the video is named and its
sample replaced as any unreadable video's is, so the run goes on and stays a function of its seed. (With 0 workers the
decoder runs in the training process, and its crash cannot be contained.)
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import torch

from rspnet.core.errors import RSPNetError, TooManySkippedError
from rspnet.core.workers import Death, Replace, ordered_map
from rspnet.data.batches import PairBatch, collate
from rspnet.data.clip_sets import ClipBatch, ClipSetDataset
from rspnet.data.clip_tasks import ClipSampler
from rspnet.data.datasets import ClipPairDataset, EvalClipDataset, EvalSample, NoSample
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import Skip, SkipLog

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it
_PREFETCH = 2
_HANG_SECONDS = 300.0  # for one video; a slow network may need a minute, no decoder does
_KILLS = 3  # a process that the system kills (out of memory) is started again, but not for ever
_PRELOAD = ("rspnet.data.loader",)

Item = TypeVar("Item")
Batch = TypeVar("Batch")


PairTask = tuple[list[Any], dict[int, str]]
"""Requests of one batch, and the videos (by index) known to end the process that reads them, with reasons."""


class PairReader:
    """Makes batches in a worker."""

    def __init__(self, dataset: ClipPairDataset | ClipSetDataset) -> None:
        self.dataset = dataset

    def __call__(self, task: PairTask) -> PairBatch | ClipBatch | NoSample:
        """The batch of some requests."""
        _one_thread_in_workers()
        requests, deadly = task
        return collate([self.dataset.sample(request, deadly) for request in requests])


class EvalReader:
    """Makes evaluation views in a worker."""

    def __init__(self, dataset: EvalClipDataset) -> None:
        self.dataset = dataset

    def __call__(self, index: int) -> EvalSample:
        """The views of one video."""
        _one_thread_in_workers()
        return self.dataset[index]


class Coroner:
    """Finds out which video a worker died of."""

    def __init__(self) -> None:
        self.deadly: dict[int, str] = {}
        self._kills: Counter[int] = Counter()

    def blames(self, death: Death) -> bool:
        """Whether the death is a video's fault, which is then in `deadly`; if not, reading again may succeed.

        Raises:
            RSPNetError: the machine's fault: out of shared memory, or killed again and again.
        """
        if death.signal == signal.SIGBUS:
            raise RSPNetError(_shared_memory_advice("ran out while workers were reading"))
        if death.note < 0 or (death.signal in (signal.SIGKILL, signal.SIGTERM) and not death.hung):
            self._kills[death.note] += 1
            if death.note < 0 and self._kills[death.note] >= _KILLS:
                raise RSPNetError(
                    f"loader workers ended {_KILLS} times ({death.reason}) while reading no video: out of memory? "
                    "use fewer workers (--data.num_workers)"
                )
            if self._kills[death.note] < _KILLS:
                return False
        self.deadly[death.note] = death.reason
        return True


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
        for batch in _named_failures(self._batches()):
            if self._skip_log is not None:
                self._skip_log.add(batch.skipped)
            if isinstance(batch, NoSample):
                last = batch.skipped[-1]
                raise TooManySkippedError(
                    f"{len(batch.skipped)} videos in a row could not be used for pre-training; "
                    f"the last was {last.name!r}: {last.reason}",
                    skipped=batch.skipped,
                )
            yield batch

    def _batches(self) -> Iterator[Any]:
        """Batches in step order."""
        coroner = Coroner()

        def tasks() -> Iterator[PairTask]:
            for requests in self._sampler:
                yield requests, dict(coroner.deadly)

        def after_death(task: PairTask, death: Death) -> PairTask:
            coroner.blames(death)
            return task[0], dict(coroner.deadly)

        return ordered_map(
            PairReader(self._dataset),
            tasks(),
            workers=self._num_workers,
            after_death=after_death,
            hang_seconds=_HANG_SECONDS,
            preload=_PRELOAD,
        )


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
    _check_shared_memory(num_workers * _PREFETCH * local_batch * dataset.max_sample_bytes(), num_workers)
    return PairLoader(dataset, sampler, num_workers=num_workers, skip_log=skip_log)


def make_eval_loader(
    dataset: EvalClipDataset, *, num_workers: int, places: Iterable[int] | None = None
) -> Iterator[EvalSample]:
    """Evaluation views of videos, one video at a time.

    Args:
        dataset: the videos.
        num_workers: worker processes; 0 reads in this process.
        places: which of the records, in which order; by default all in theirs.

    Raises:
        RSPNetError: shared memory is short.
    """
    _check_shared_memory(num_workers * _PREFETCH * dataset.max_sample_bytes(), num_workers)
    coroner = Coroner()

    def after_death(index: int, death: Death) -> int | Replace[EvalSample]:
        if not coroner.blames(death):
            return index
        record = dataset.records[index]
        return Replace(EvalSample(record, None, None, Skip(record.name, death.reason)))

    samples: Iterator[EvalSample] = ordered_map(
        EvalReader(dataset),
        range(len(dataset)) if places is None else places,
        workers=num_workers,
        after_death=after_death,
        hang_seconds=_HANG_SECONDS,
        preload=_PRELOAD,
    )
    return _named_failures(samples)


def _one_thread_in_workers() -> None:
    """Workers are the parallelism; threads of their own would only compete."""
    if multiprocessing.parent_process() is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


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
