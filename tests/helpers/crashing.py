"""Data sets whose reader ends or stalls its process at certain files: what a broken decoder does."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from rspnet.data import datasets
from rspnet.data.checks import survey
from rspnet.data.checks.survey import Look
from rspnet.data.datasets import ClipPairDataset, EvalClipDataset
from rspnet.video.reader import VideoReader, open_video


def deadly_open(path: str | os.PathLike[str]) -> VideoReader:
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
    return open_video(path)


class CrashingPairs(ClipPairDataset):
    """Unpickled in a worker, it plants the deadly reader there."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        datasets.open_video = deadly_open


class CrashingEval(EvalClipDataset):
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        datasets.open_video = deadly_open


class CrashingLook(Look):
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        survey.open_video = deadly_open
