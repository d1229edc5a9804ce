"""Worker processes that survive what they read: one that crashes or hangs is replaced, and its task is not lost.

Decoders are C code that strangers' files are fed to. A pool that breaks with its first dead process (as those of the
standard library and of torch do) would end a run of days for one file, so here the parent hands out tasks itself, knows
what every process is doing, starts a new process for a dead one, and asks its caller what to do with the task.

Workers come from a fork server: it imports the program once and forks each worker from that clean, single-threaded
process. A plain fork of the parent would copy its threads' locks (progress bar, OpenMP, CUDA) and can hang; a plain
spawn would import torch again for every worker. Workers run nothing of the program's own file: a script needs no
`if __name__ == "__main__":`, and may come from stdin. They ignore Ctrl-C: the parent alone decides when to stop.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from types import ModuleType
from typing import Any, Generic, TypeVar

from rspnet.core.worker_life import serve

Task = TypeVar("Task")
Result = TypeVar("Result")

_QUEUED = 2  # tasks a worker holds: one at work, one waiting, so that it never idles between them
_SPARED = 3
"""Workers given up where file handles run out, so that this process has some for its own files."""
_GRACE_SECONDS = 5.0
_FAILED_STARTS = 5


LOST = "the cluster lost it"


@dataclass(frozen=True)
class Death:
    """How a worker ended.

    Attributes:
        note: what it last reported by `note`, -1 if nothing since its task began.
        signal: the signal that ended it, 0 if it left by itself.
        hung: it was ended from here because it made no progress.
        lost: its machine is gone, or whatever else made a cluster give up the task.
    """

    note: int
    signal: int
    hung: bool
    lost: bool = False

    @property
    def reason(self) -> str:
        """One phrase for users."""
        if self.lost:
            return LOST
        if self.hung:
            return "the decoder hung"
        return f"the decoder crashed ({signal.Signals(self.signal).name if self.signal else 'it ended the process'})"


class Replace(Generic[Result]):
    """What to give out instead of running a deadly task again."""

    def __init__(self, result: Result) -> None:
        self.result = result


def nothing_follows(_task: object, _result: object) -> Iterable[Any]:
    """The default of `ordered_map`: a result leads to no further task."""
    return ()


def start_early(preload: Sequence[str]) -> None:
    """Start the fork server now: it imports these modules while this process is still importing its own."""
    forkserver.set_forkserver_preload(list(preload))
    forkserver.ensure_running()


def ordered_map(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    after_death: Callable[[Task, Death], Task | Replace[Result]],
    hang_seconds: float,
    follow_up: Callable[[Task, Result], Iterable[Task]] = nothing_follows,
    preload: Sequence[str] = (),
) -> Iterator[Result]:
    """`map(work, tasks)` in worker processes, results in the order of the tasks.

    Args:
        work: a picklable callable.
        tasks: drawn from lazily, two for each worker ahead of the results taken.
        workers: processes; 0 works in this process, where nothing can be contained. Fewer where the system's limit of
            open files (ulimit -n) does not allow so many.
        after_death: what replaces the task that a worker died of: another task, or a result in its `Replace`.
        hang_seconds: a task that neither ends nor calls `note` or `alive` for so long is taken for hung.
        follow_up: further tasks that a task's result leads to, drawn lazily. Their results come right after it, before
            those of the next task; they have no follow-ups of their own.
        preload: modules the fork server imports, for a quick start of every worker.

    Raises:
        Exception: whatever `work` or `after_death` raises.
        RuntimeError: workers cannot start, for instance because `work` cannot be imported there.
    """
    if workers == 0:
        for task in tasks:
            result = work(task)
            yield result
            yield from map(work, follow_up(task, result))
        return
    line = _Line(iter(tasks), follow_up, ahead=_QUEUED * workers)
    pool = _Pool(work, line, workers, after_death, hang_seconds, preload)
    try:
        yield from pool.results()
    finally:
        pool.close()


@dataclass(eq=False)
class _Slot(Generic[Task, Result]):
    """A place in the line of results.

    Attributes:
        task: what is to be done.
        family: number of the task that this one is, or follows.
        is_follower: whether it follows.
        is_alone: whether no other task may wait behind it in its worker, because a worker that held it died.
        result: once it is done.
        is_given: whether the result was given out; the slot then only keeps the place of what follows.
        more: what follows and is not handed out yet, first and rest; the last slot of a family holds it.
    """

    task: Task
    family: int
    is_follower: bool = False
    is_alone: bool = False
    result: Replace[Result] | None = None
    is_given: bool = False
    more: tuple[Task, Iterator[Task]] | None = None


class _Line(Generic[Task, Result]):
    """The tasks at work, in the order in which their results are given out.

    No more than `ahead` tasks are at work or wait for an earlier result, and as many of the first family, for which
    all others wait.
    """

    def __init__(
        self, tasks: Iterator[Task], follow_up: Callable[[Task, Result], Iterable[Task]], *, ahead: int
    ) -> None:
        self._tasks, self._follow_up, self._ahead = enumerate(tasks), follow_up, ahead
        self._slots: list[_Slot[Task, Result]] = []

    def next_slot(self) -> _Slot[Task, Result] | None:
        """A new task for a worker, or None for the moment."""
        for place, slot in enumerate(self._slots):
            if slot.more is not None and self._has_room(slot.family):
                task, rest = slot.more
                follower: _Slot[Task, Result] = _Slot(task, slot.family, is_follower=True, more=_first_and_rest(rest))
                self._slots.insert(place + 1, follower)
                slot.more = None
                return follower
        if not self._has_room(None):
            return None
        for number, task in islice(self._tasks, 1):
            self._slots.append(_Slot(task, number))
            return self._slots[-1]
        return None

    def _has_room(self, family: int | None) -> bool:
        held = [slot for slot in self._slots if not slot.is_given]
        if self._slots and family == self._slots[0].family:
            held = [slot for slot in held if slot.family == family]
        return len(held) < self._ahead

    def finish(self, slot: _Slot[Task, Result], result: Result) -> None:
        """Take in the result of a task."""
        slot.result = Replace(result)
        if not slot.is_follower:
            slot.more = _first_and_rest(iter(self._follow_up(slot.task, result)))

    def __bool__(self) -> bool:
        """Whether there are results still to be given out."""
        return bool(self._slots)

    def take(self) -> Iterator[Result]:
        """The results that are next in the order, as far as they are there."""
        while self._slots:
            head = self._slots[0]
            if head.result is not None and not head.is_given:
                head.is_given = True
                result, head.result = head.result.result, None
                yield result
            if not head.is_given or head.more is not None:
                return
            self._slots.pop(0)


def _first_and_rest(items: Iterator[Task]) -> tuple[Task, Iterator[Task]] | None:
    for first in items:
        return first, items
    return None


@dataclass(eq=False)
class _Worker(Generic[Task, Result]):
    process: BaseProcess
    pipe: Connection
    progress: Any
    queue: deque[_Slot[Task, Result]] = field(default_factory=deque)
    seen: int = 0  # last value of the progress counter, and when it changed
    since: float = 0.0


class _Pool(Generic[Task, Result]):
    def __init__(
        self,
        work: Callable[[Task], Result],
        line: _Line[Task, Result],
        workers: int,
        after_death: Callable[[Task, Death], Task | Replace[Result]],
        hang_seconds: float,
        preload: Sequence[str],
    ) -> None:
        self._work, self._line, self._after_death = work, line, after_death
        self._hang_seconds = hang_seconds
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._again: deque[_Slot[Task, Result]] = deque()
        self._failed_starts = 0
        self._workers: list[_Worker[Task, Result]] = []
        try:
            for _ in range(workers):
                self._workers.append(self._start())
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or len(self._workers) <= _SPARED:
                self.close()
                raise
            for worker in self._workers[-_SPARED:]:
                worker.process.terminate()
                _bury(worker)
            del self._workers[-_SPARED:]
        except BaseException:
            self.close()
            raise

    def results(self) -> Iterator[Result]:
        self._hand_out()
        while self._line:
            self._wait()
            self._hand_out()
            for result in self._line.take():
                self._hand_out()  # before the caller takes its time with the result
                yield result

    def close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            _bury(worker)
        self._workers.clear()

    def _start(self) -> _Worker[Task, Result]:
        here, there = self._context.Pipe()
        progress = self._context.RawArray("q", 2)
        process = self._context.Process(target=serve, args=(self._work, there, progress, dict(os.environ)), daemon=True)
        with _main_left_out():
            process.start()
        there.close()
        return _Worker(process, here, progress)

    def _hand_out(self) -> None:
        """Give every worker its share of tasks."""
        for place in range(_QUEUED):
            for worker in list(self._workers):
                if len(worker.queue) > place or any(slot.is_alone for slot in worker.queue):
                    continue
                if self._again and worker.queue:
                    continue
                slot = self._again.popleft() if self._again else self._line.next_slot()
                if slot is None:
                    return
                if not worker.queue:
                    worker.seen, worker.since = worker.progress[0], monotonic()
                worker.queue.append(slot)
                with suppress(OSError):  # a dead worker is found, and its tasks given to another worker, by `_wait`
                    worker.pipe.send(slot.task)

    def _wait(self) -> None:
        """Take in what workers have to say, for about a second at most."""
        pipes = {worker.pipe: worker for worker in self._workers}
        ready = wait(list(pipes), timeout=min(1.0, self._hang_seconds / 4))
        for pipe in ready:
            self._receive(pipes[pipe])  # type: ignore[index]
        now = monotonic()
        for worker in list(self._workers):
            starting = worker.progress[0] == 0
            if worker.pipe in ready or not worker.queue or starting or worker.seen != worker.progress[0]:
                worker.seen, worker.since = worker.progress[0], now
            elif now - worker.since > self._hang_seconds:
                worker.process.kill()
                self._replace(worker, hung=True)

    def _receive(self, worker: _Worker[Task, Result]) -> None:
        try:
            error, result = worker.pipe.recv()
        except (EOFError, OSError):  # OSError: it died between sending a tensor's handle and the tensor
            self._replace(worker, hung=False)
            return
        slot = worker.queue.popleft()
        if error is not None:
            raise error
        self._line.finish(slot, result)

    def _replace(self, worker: _Worker[Task, Result], *, hung: bool) -> None:
        _bury(worker)
        self._workers.remove(worker)
        if worker.progress[0] == 0:
            # A Ctrl-C that comes before the process can ignore it is forgiven; what cannot start at all is not.
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise RuntimeError("worker processes end before their first task: their own error is printed above")
            self._again.extend(worker.queue)
            self._workers.append(self._start())
            return
        code = worker.process.exitcode or 0
        death = Death(note=int(worker.progress[1]), signal=max(0, -code), hung=hung)
        if worker.queue:
            slot = worker.queue.popleft()
            verdict = self._after_death(slot.task, death)
            if isinstance(verdict, Replace):
                self._line.finish(slot, verdict.result)
            else:
                slot.task = verdict
                worker.queue.appendleft(slot)
        for slot in worker.queue:  # a task may be done and its result lost: only alone it cannot be taken for the next
            slot.is_alone = True
        self._again.extend(worker.queue)
        self._workers.append(self._start())


@contextmanager
def _main_left_out() -> Iterator[None]:
    """What starts meanwhile does not run the file that `python` was started with again, as multiprocessing has it."""
    own = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = own


def _bury(worker: _Worker[Any, Any]) -> None:
    """Wait for a worker's end, or force it, and free what it held."""
    worker.pipe.close()
    worker.process.join(_GRACE_SECONDS)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
