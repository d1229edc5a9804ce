"""Data sets whose reader ends or stalls its process at certain files: what a broken decoder does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rspnet.core import workers
from rspnet.data import reading, video_clips
from rspnet.data.checks.survey import Look
from rspnet.data.cuts import EvenClips
from rspnet.data.datasets import ClipPairDataset
from rspnet.video.reader import VideoReader, open_video

DEADLY = ("abort", "segv", "bus", "killed", "hang")
"""How the names of files begin that a deadly reader falls over."""


def deadly_open(path: str | os.PathLike[str]) -> VideoReader:
    end_process_at(path)
    return open_video(path)


def end_process_at(path: str | os.PathLike[str]) -> None:
    """End or stall this process if the file is a deadly one."""
    name = Path(path).name
    if name.startswith("abort"):
        os.abort()
    if name.startswith("segv"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("bus"):
        os.kill(os.getpid(), signal.SIGBUS)
    if name.startswith("killed"):
        marker = Path(path).with_suffix(".seen")
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hang"):
        time.sleep(600)


class CrashingPairs(ClipPairDataset):
    """Unpickled in a worker, it plants the deadly reader there."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        reading.open_video = deadly_open


class CrashingEval(EvenClips):
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        video_clips.open_video = deadly_open


class CrashingLook(Look):
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        reading.open_video = deadly_open


class Planted:
    """Work in whose process every video is opened by a deadly reader, wherever that is done."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not hasattr(VideoReader, "sound_init"):
            VideoReader.sound_init = VideoReader.__init__  # type: ignore[attr-defined]
            VideoReader.__init__ = _deadly_init  # type: ignore[method-assign]

    def __call__(self, task: Any) -> Any:
        return self._work(task)


def _deadly_init(self: VideoReader, path: str | os.PathLike[str]) -> None:
    end_process_at(path)
    self.sound_init(path)  # type: ignore[attr-defined]


def plant_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers started from now on read by the deadly reader; this process refuses to open deadly files at all."""
    start, sound_init = workers._Pool.__init__, VideoReader.__init__

    def planted(self: Any, work: Callable[[Any], Any], *rest: Any) -> None:
        start(self, Planted(work), *rest)

    def careful(self: VideoReader, path: str | os.PathLike[str]) -> None:
        assert not Path(path).name.startswith(DEADLY), f"{path} is opened outside a worker"
        sound_init(self, path)

    monkeypatch.setattr(workers._Pool, "__init__", planted)
    monkeypatch.setattr(VideoReader, "__init__", careful)
