"""A list of videos that loader processes share: one block of memory, however many videos and processes there are."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord

_NONE = np.iinfo(np.int64).min


class RecordTable(Sequence[VideoRecord]):
    """The records of a data set, kept as text and numbers instead of objects.

    A process that is started with a table maps the parent's memory (where the system has `memfd_create`, else it gets
    a copy): a million videos cost it no time and no memory of its own. Records are made when they are asked for.

    Args:
        records: the videos.
    """

    def __init__(self, records: Sequence[VideoRecord]) -> None:
        classes = list(dict.fromkeys(record.class_name for record in records if record.class_name is not None))
        number = {name: place for place, name in enumerate(classes)}
        texts = [os.fsencode(text) for record in records for text in (os.fspath(record.path), record.name)]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        labels = [
            (_NONE if r.label is None else r.label, _NONE if r.class_name is None else number[r.class_name])
            for r in records
        ]
        numbers = np.concatenate([ends, np.array(labels, np.int64).reshape(-1)])
        self._set(memoryview(numbers.tobytes() + b"".join(texts)), len(records), classes)
        self._shared: int | None = None

    def _set(self, block: memoryview, length: int, classes: list[str]) -> None:
        self._block, self._length, self._classes = block, length, classes
        numbers: NDArray[np.int64] = np.frombuffer(block, np.int64, count=4 * length + 1)
        self._ends, self._labels = numbers[: 2 * length + 1], numbers[2 * length + 1 :].reshape(length, 2)
        self._texts = block[numbers.nbytes :]

    def __len__(self) -> int:
        """Number of videos."""
        return self._length

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[VideoRecord]: ...

    def __getitem__(self, index: int | slice) -> VideoRecord | list[VideoRecord]:
        """The record of a video, or of several."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start, middle, end = self._ends[2 * place : 2 * place + 3].tolist()
        path, name = (os.fsdecode(bytes(self._texts[a:b])) for a, b in ((start, middle), (middle, end)))
        label, number = self._labels[place].tolist()
        class_name = None if number == _NONE else self._classes[number]
        return VideoRecord(as_path(path), name, None if label == _NONE else label, class_name)

    def __iter__(self) -> Iterator[VideoRecord]:
        return (self[place] for place in range(len(self)))

    def __reduce__(self) -> tuple[Callable[..., RecordTable], tuple[Any, ...]]:
        if get_spawning_popen() is None or not hasattr(os, "memfd_create"):
            return _from_block, (bytes(self._block), self._length, self._classes)
        if self._shared is None:
            self._shared = os.memfd_create("rspnet records")
            with os.fdopen(os.dup(self._shared), "wb") as file:
                file.write(self._block)
        return _from_shared, (DupFd(self._shared), self._length, self._classes)

    def __del__(self) -> None:
        if getattr(self, "_shared", None) is not None:
            os.close(self._shared)  # type: ignore[arg-type]


def _from_block(block: bytes | mmap.mmap, length: int, classes: list[str]) -> RecordTable:
    table = RecordTable.__new__(RecordTable)
    table._set(memoryview(block), length, classes)
    table._shared = None
    return table


def _from_shared(shared: Any, length: int, classes: list[str]) -> RecordTable:
    descriptor = shared.detach()
    try:
        return _from_block(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ), length, classes)
    finally:
        os.close(descriptor)
