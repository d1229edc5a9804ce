"""Work on many videos over the machines of a Ray cluster, by Ray Data.

Ray Data hands out the tasks in blocks to a pool of actors, starts other actors where a process or a machine is lost,
and gives a lost block to them. Results come back to the calling process, which alone writes: a worker's machine needs
the program and the videos, and no place to write to. So whatever is lost, the next call does what is not stored, as
after any other stop.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rspnet.core.errors import ConfigError, RSPNetError

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[Sequence[Task]], Iterator[Result]]

_BLOCK_TASKS, _MOST_BLOCKS = 16, 5000
"""Tasks that are handed out together, more where there would be more blocks than that."""
_RESULT_BYTES = 2**16
"""Results are sent on when they are so large together, or their block is done."""


@dataclass(frozen=True)
class RayCluster:
    """Where work goes.

    Attributes:
        address: of a running cluster; None takes what RAY_ADDRESS names, else starts one on this machine.
        workers: most processes at a time that take tasks; None is as many as the cluster has room for.
        num_cpus: of each.
        num_gpus: of each.
    """

    address: str | None = None
    workers: int | None = None
    num_cpus: float = 1
    num_gpus: float = 0


class Lost(Generic[Task]):
    """In the place of a result: a task that the cluster gave up."""

    def __init__(self, task: Task) -> None:
        self.task = task


def ray_map(
    make: Callable[[], Work[Task, Result]], tasks: Iterable[Task], cluster: RayCluster
) -> Iterator[tuple[int, Result | Lost[Task]]]:
    """Do tasks over a cluster; gives (number of the task, its result) as they come, and what was lost at the end.

    Args:
        make: makes, in each worker once, what turns a sequence of tasks into as many results; pickled.
        tasks: what is to be done; pickled.
        cluster: where.

    Raises:
        ConfigError: Ray is missing, or there is no such cluster.
        RSPNetError: work raised it, workers cannot start, or the cluster was lost.
    """
    left = dict(enumerate(tasks))
    if not left:
        return
    with _connected(cluster) as ray:
        try:
            for row in _rows(ray, make, left, cluster):
                result = pickle.loads(row["result"])  # noqa: S301 - by our own workers
                if isinstance(result, _Failure):
                    raise result.error
                del left[row["number"]]
                yield row["number"], result
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise RSPNetError(
                f"the Ray cluster failed: {root_cause(str(error))}; what is done is stored: run it again to go on"
            ) from error
    yield from ((number, Lost(task)) for number, task in left.items())


def in_order(results: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """The results by their numbers, each as soon as those before it have come."""
    waiting: dict[int, Result] = {}
    following = 0
    for number, result in results:
        waiting[number] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def root_cause(text: str, longest: int = 300) -> str:
    """The exception in which the tracebacks of a Ray error end, as one line; without one, how the text begins."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    ends = re.findall(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b.*$", plain, re.MULTILINE)
    return " ".join((ends[-1] if ends else plain).split())[:longest]


class _Failure:
    """In the place of a result: the error that ends all work."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Actor:
    """What Ray Data calls with blocks of tasks."""

    def __init__(self, make: Callable[[], Work[Any, Any]]) -> None:
        self._work = make()

    def __call__(self, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        tasks = [pickle.loads(task) for task in block["task"]]  # noqa: S301 - by our own caller
        numbers = [int(number) for number in block["number"]]
        try:
            for number, result in zip(numbers, self._work(tasks), strict=True):
                yield {"number": [number], "result": [pickle.dumps(result)]}
        except Exception as error:
            # Ray would take it for the loss of a block.
            failure = error if isinstance(error, RSPNetError) else RSPNetError(f"{type(error).__name__}: {error}")
            yield {"number": [-1], "result": [pickle.dumps(_Failure(failure))]}


def _rows(ray: Any, make: Callable[[], Any], tasks: dict[int, Any], cluster: RayCluster) -> Iterator[dict[str, Any]]:
    from ray.data import ActorPoolStrategy, DataContext, from_items

    context = DataContext.get_current()
    context.enable_progress_bars = False  # the command has its own
    context.target_max_block_size = _RESULT_BYTES
    context.max_errored_blocks = -1  # what they held is named as lost
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    blocks = min(_MOST_BLOCKS, max(-(-len(tasks) // _BLOCK_TASKS), min(len(tasks), 4 * cpus)))
    items = [{"number": number, "task": pickle.dumps(task)} for number, task in tasks.items()]
    results = from_items(items, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(make,),
        batch_size=None,
        compute=ActorPoolStrategy(min_size=1, max_size=cluster.workers),
        num_cpus=cluster.num_cpus,
        num_gpus=cluster.num_gpus or None,
    )
    yield from results.iter_rows()


@contextmanager
def _connected(cluster: RayCluster) -> Iterator[Any]:
    """Ray, connected to the cluster as long as this is entered."""
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ConfigError("--on ray needs Ray: install the extra, pip install 'rspnet[ray]'") from error
    if ray.is_initialized():  # by the program that calls us
        yield ray
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    own = {} if cluster.address or os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
    with _signals_kept():
        try:
            ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            why = " ".join(str(error).split())[:300]
            raise ConfigError(f"--ray_address {cluster.address!r}: no Ray cluster answers there ({why})") from None
    try:
        yield ray
    finally:
        with suppress(Exception):  # of a cluster that is gone
            ray.shutdown()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it connects: a stop must stay a stop in good order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
