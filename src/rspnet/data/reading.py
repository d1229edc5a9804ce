"""The one way to work on video files: each is noted, opened and guarded here, in processes whose end costs one file.

`attempt` guards what is done for one file; `read_in_workers` and `contained` run such work in the processes of
`core.workers`, where a decoder that crashes or hangs ends its process only. (With 0 workers the decoder runs in the
program's own process, and its crash cannot be contained.)
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from rspnet.core import storage
from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError, DecodeError, RSPNetError
from rspnet.core.heartbeat import note
from rspnet.core.ray_jobs import Lost, RayCluster, in_order, ray_map
from rspnet.core.workers import LOST, Death, Replace, nothing_follows, ordered_map
from rspnet.data import READERS
from rspnet.data.annotations import VideoRecord
from rspnet.data.skipped import Skip
from rspnet.video.reader import VideoReader, open_video

HANG_SECONDS = 300.0
"""A decoder that shows no progress for so long is ended; a slow network may need a minute for one video."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it
_PREFETCH = 2
_KILLS = 3  # a process that the system kills (out of memory) is started again, but not for ever

Item = TypeVar("Item")
Result = TypeVar("Result")
Task = TypeVar("Task")
BatchTask = tuple[list[Any], dict[int, str]]
"""Requests of one batch, and the videos (by index) known to end the process that reads them, with reasons."""


def attempt(
    record: VideoRecord,
    index: int,
    read: Callable[[VideoReader], Result],
    *,
    opened: Callable[[Path], AbstractContextManager[VideoReader]] | None = None,
) -> Result | Skip:
    """What `read` makes of a video, or why the video has to be left out: no file may end the work on the others.

    Args:
        record: the video.
        index: its number, reported to the parent process in case the decoder ends this one.
        read: is given the open video.
        opened: opens it; by default `open_video`.

    Raises:
        ConfigError: an option is at fault, not the file.
    """
    note(index)
    try:
        with (opened or open_video)(record.path) as video:
            return read(video)
    except Exception as error:
        return Skip(record.name, fault_of_file(error))


def fault_of_file(error: Exception) -> str:
    """The reason to give for a file whose work ended with this exception.

    Raises:
        ConfigError: the exception itself, which is not the file's fault.
    """
    if isinstance(error, ConfigError):
        raise error
    if isinstance(error, DecodeError):
        return error.why
    if isinstance(error, RSPNetError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"


def may_pass(reason: str) -> bool:
    """Whether a fault that `fault_of_file` or `Death` gave is none of the file's: reading it later may succeed."""
    return reason.startswith((*storage.PASSING, LOST))


class Coroner:
    """Finds out whether a worker died of the video it was reading."""

    def __init__(self) -> None:
        self._kills: Counter[int] = Counter()

    def blames(self, death: Death) -> bool:
        """Whether the death is the fault of the video `death.note`; if not, reading again may succeed.

        Raises:
            RSPNetError: the machine's fault: out of shared memory, or killed again and again.
        """
        if death.signal == signal.SIGBUS:
            raise RSPNetError(_shared_memory_advice("ran out while workers were reading"))
        if death.note < 0 or (death.signal in (signal.SIGKILL, signal.SIGTERM) and not death.hung):
            self._kills[death.note] += 1
            if death.note < 0 and self._kills[death.note] >= _KILLS:
                raise RSPNetError(
                    f"worker processes ended {_KILLS} times ({death.reason}) while reading no video: out of memory? "
                    "use fewer workers"
                )
            if self._kills[death.note] < _KILLS:
                return False
        return True


def read_in_workers(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    give_up: Callable[[Task, Death], Task | Replace[Result]],
    follow_up: Callable[[Task, Result], Iterable[Task]] = nothing_follows,
    hang_seconds: float | None = None,
    preload: Sequence[str] = READERS,
) -> Iterator[Result]:
    """`map(work, tasks)` in worker processes of one thread each, results in the order of the tasks.

    Args:
        work: a picklable callable; reports by `note` (or `attempt`) which video it is at.
        tasks: drawn from lazily.
        workers: processes; 0 works in this process.
        give_up: what replaces a task during which the video `Death.note` ended the process: another task, or a
            result in its `Replace`.
        follow_up: see `ordered_map`.
        hang_seconds: by default `HANG_SECONDS`.
        preload: modules the fork server imports, for a quick start of every worker.

    Raises:
        RSPNetError: shared memory ran out, or workers end again and again without a video to blame.
    """
    coroner = Coroner()

    def after_death(task: Task, death: Death) -> Task | Replace[Result]:
        return give_up(task, death) if coroner.blames(death) else task

    results = ordered_map(
        _OneThread(work),
        tasks,
        workers=workers,
        after_death=after_death,
        hang_seconds=HANG_SECONDS if hang_seconds is None else hang_seconds,
        follow_up=follow_up,
        preload=preload,
    )
    return named_failures(results)


def read_batches(
    make: Callable[[BatchTask], Result], batches: Iterable[list[Any]], *, workers: int, preload: Sequence[str] = READERS
) -> Iterator[Result]:
    """What `make` makes of the requests of each batch, in order; no later batch reads a video that ended a worker.

    Args:
        make: see `read_in_workers`.
        batches: the requests of each batch; drawn from lazily.
        workers: see there.
        preload: see there.

    Raises:
        RSPNetError: as `read_in_workers`.
    """
    deadly: dict[int, str] = {}

    def give_up(task: BatchTask, death: Death) -> BatchTask:
        deadly[death.note] = death.reason
        return task[0], dict(deadly)

    tasks = ((requests, dict(deadly)) for requests in batches)
    return read_in_workers(make, tasks, workers=workers, give_up=give_up, preload=preload)


def read_here_or_on_ray(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    cluster: RayCluster | None,
    give_up: Callable[[Task, Death], Replace[Result]],
    preload: Sequence[str] = READERS,
) -> Iterator[Result]:
    """`read_in_workers` where there is no cluster, else `read_on_ray`."""
    if cluster is not None:
        return read_on_ray(work, tasks, cluster, give_up=give_up, preload=preload)
    return read_in_workers(work, tasks, workers=workers, give_up=give_up, preload=preload)


def read_on_ray(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    cluster: RayCluster,
    *,
    give_up: Callable[[Task, Death], Replace[Result]],
    preload: Sequence[str] = READERS,
) -> Iterator[Result]:
    """`read_in_workers` over a Ray cluster: each of its workers reads in a process of its own, as one machine does.

    Args:
        work: see `read_in_workers`.
        tasks: see there; all are drawn at once.
        cluster: where.
        give_up: the result of a task that ended its process, or that the cluster gave up; pickled.
        preload: see `read_in_workers`.

    Raises:
        RSPNetError: as `read_in_workers` and `ray_map`.
    """

    def result(found: Result | Lost[Task]) -> Result:
        if isinstance(found, Lost):
            return give_up(found.task, Death(note=-1, signal=0, hung=False, lost=True)).result
        return found

    found = ray_map(partial(_ReadTasks, work, give_up, preload), tasks, cluster)
    return in_order((number, result(each)) for number, each in found)


class _ReadTasks(Generic[Task, Result]):
    """What a worker of the cluster does with tasks."""

    def __init__(
        self, work: Callable[[Task], Result], give_up: Callable[[Task, Death], Replace[Result]], preload: Sequence[str]
    ) -> None:
        self._work, self._give_up, self._preload = work, give_up, preload

    def __call__(self, tasks: Sequence[Task]) -> Iterator[Result]:
        return read_in_workers(self._work, tasks, workers=1, give_up=self._give_up, preload=self._preload)


def contained(
    work: Callable[[Task], Result],
    task: Task,
    path: Path,
    *,
    hang_seconds: float | None = None,
    preload: Sequence[str] = READERS,
) -> Result:
    """`work(task)`, which reads the video `path`, in a process of its own.

    Raises:
        DecodeError: reading crashed the process, or hung.
        RSPNetError: whatever `work` raises, or shared memory ran out.
    """

    def give_up(_task: Task, death: Death) -> Replace[Result | Skip]:
        return Replace(Skip(str(path), death.reason))

    results: Iterator[Result | Skip] = read_in_workers(
        _Noted(work), [task], workers=1, give_up=give_up, hang_seconds=hang_seconds, preload=preload
    )
    (result,) = results
    if isinstance(result, Skip):
        raise DecodeError(path, result.reason)
    return result


class _Noted(Generic[Task, Result]):
    """Work on a single file, which is to blame for whatever ends the process."""

    def __init__(self, work: Callable[[Task], Result]) -> None:
        self._work = work

    def __call__(self, task: Task) -> Result:
        note(0)
        return self._work(task)


class _OneThread(Generic[Task, Result]):
    """Work in a worker without threads of its own: workers are the parallelism, threads would only compete."""

    def __init__(self, work: Callable[[Task], Result]) -> None:
        self._work = work

    def __call__(self, task: Task) -> Result:
        torch = sys.modules.get("torch")  # readers preload it; work that needs none does not wait for it
        if torch is not None and multiprocessing.parent_process() is not None and torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        return self._work(task)


def named_failures(results: Iterable[Item]) -> Iterator[Item]:
    """Iterate; a worker killed for lack of shared memory becomes an error that says so."""
    try:
        yield from results
    except RuntimeError as error:
        if any(sign in str(error) for sign in ("shared memory", "Bus error", "No space left")):
            raise RSPNetError(_shared_memory_advice("ran out while workers were reading")) from error
        raise


def check_shared_memory(sample_bytes: int, workers: int) -> None:
    """See that shared memory can hold what workers prepare.

    Args:
        sample_bytes: size of one result of a worker.
        workers: processes.

    Raises:
        RSPNetError: it cannot.
    """
    if workers == 0 or not _SHARED_MEMORY.is_dir():
        return
    needed_bytes = workers * _PREFETCH * sample_bytes
    free_bytes = shutil.disk_usage(_SHARED_MEMORY).free
    if needed_bytes > free_bytes:
        mebibyte = 2**20
        needed = f"{needed_bytes / mebibyte:.0f} are needed for {counted(workers, 'worker')}"
        problem = f"has {free_bytes / mebibyte:.0f} MiB free, {needed}"
        raise RSPNetError(_shared_memory_advice(problem))


def _shared_memory_advice(problem: str) -> str:
    return (
        f"shared memory ({_SHARED_MEMORY}) {problem}: use fewer workers or a smaller batch, "
        "or give the container more (docker --shm-size)"
    )
