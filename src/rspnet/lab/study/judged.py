"""Sets that a study's networks are judged on but never trained on, and the clips of all judged videos, decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import centre_square
from rspnet.data.skipped import Skip
from rspnet.data.synthetic.labelled_set import LABEL_FILE
from rspnet.data.synthetic.procedural import plan_clips, write_set
from rspnet.data.video_clips import read_clips
from rspnet.features.embedder import Embedder
from rspnet.lab.study.sets import hash_of, read_table
from rspnet.video.reader import View, open_video

Places = NDArray[np.int64]
Vectors = NDArray[np.float32]
_DRAWN_SEED = 77
_ENERGY_SIDE, _STRETCHES = 24, 3


@dataclass(frozen=True)
class JudgedSpec:
    """A set besides the one that is trained on; its task has its name.

    Attributes:
        folder: with clips.csv, seen from the study's data set.
        drawn: instead of a folder, so many procedural videos of this package, a third of them for test.
        videos: column of the video's path below the folder.
        label: column of the class.
        groups: column of groups, each of which is left out once; without it the column split says train or test.
    """

    label: str
    folder: str = ""
    drawn: int = 0
    videos: str = "path"
    groups: str = ""

    def __post_init__(self) -> None:
        if bool(self.folder) == (self.drawn > 0):
            raise ConfigError("a judged set has either a folder or a number of drawn videos")


@dataclass(frozen=True)
class JudgedSet:
    """The videos of such a set.

    Attributes:
        records: all of them.
        labels: int64 [N].
        classes: number of classes.
        folds: places of the training and of the test videos of every fold; each video is tested once at most.
    """

    records: list[VideoRecord]
    labels: Places
    classes: int
    folds: list[tuple[Places, Places]]

    def hash(self) -> str:
        """SHA-256 of which videos these are, by names, sizes, classes and folds."""
        return hash_of([self.records], [self.labels.tolist(), [test.tolist() for _, test in self.folds]])


def read_judged(spec: JudgedSpec, root: Path, *, drawn_to: Path) -> JudgedSet:
    """The set; drawn videos are written below `drawn_to` unless they are there.

    Raises:
        RSPNetError: no such set, or a column is missing.
    """
    folder = drawn_to / str(spec.drawn) if spec.drawn else root / spec.folder
    if spec.drawn and not (folder / LABEL_FILE).exists():
        write_set(folder, plan_clips(num_videos=spec.drawn, seed=_DRAWN_SEED, test_fraction=1 / 3))
    division = spec.groups or "split"
    rows = read_table(folder / LABEL_FILE, columns=[spec.videos, spec.label, division])
    _, labels = np.unique([row[spec.label] for row in rows], return_inverse=True)
    parts = np.array([row[division] for row in rows])
    tested = np.unique(parts) if spec.groups else np.array(["test"])
    folds = [(np.flatnonzero(parts != part), np.flatnonzero(parts == part)) for part in tested]
    if not all(len(train) and len(test) for train, test in folds):
        raise RSPNetError(f"{str(folder / LABEL_FILE)!r}: column {division} leaves nothing to train on, or to test")
    records = [VideoRecord(folder / row[spec.videos], row[spec.videos]) for row in rows]
    return JudgedSet(records, labels.astype(np.int64), int(labels.max()) + 1, folds)


class JudgedVideos:
    """What is seen of judged videos, kept in memory for the next row: clips of one shape at a time, and energies."""

    def __init__(self) -> None:
        self._shape: tuple[float | None, ...] = ()
        self._clips: dict[str, Tensor] = {}
        self._energies: dict[str, Vectors] = {}

    def features(self, embedder: Embedder, name: str, records: Sequence[VideoRecord]) -> Vectors:
        """Features of every clip of every video, [N, n, C], of the backbone.

        Args:
            embedder: says which clips, and encodes them.
            name: of the list of videos.
            records: the list.

        Raises:
            RSPNetError: a video cannot be read: a study compares on the same videos.
        """
        shape = (embedder.num_frames, embedder.stride, embedder.size, embedder.fps, embedder.num_clips)
        if shape != self._shape:
            self._shape, self._clips = shape, {}
        if name not in self._clips:
            self._clips[name] = torch.stack([_clips(embedder, record) for record in records])
        clips = self._clips[name]
        parts = [embedder.encode(part)[0] for part in torch.split(clips.flatten(0, 1), embedder.batch_size)]
        return np.concatenate(parts).reshape(*clips.shape[:2], -1)

    def energies(self, name: str, records: Sequence[VideoRecord]) -> Vectors:
        """Motion energies of all videos, [N, 1, 1728], as if each were one clip's features."""
        if name not in self._energies:
            self._energies[name] = np.stack([motion_energy(record.path) for record in records])[:, None]
        return self._energies[name]


def _clips(embedder: Embedder, record: VideoRecord) -> Tensor:
    for sample in read_clips(embedder.clips([record]), num_workers=0):
        if sample.clips is not None:
            return sample.clips
        skip = sample.skip or Skip(record.name, "nothing to read")
        raise RSPNetError(f"{skip.name}: {skip.reason}; a study needs all its videos")
    raise RSPNetError(f"{record.name}: nothing to read; a study needs all its videos")


def motion_energy(path: Path) -> Vectors:
    """The hand-made rival: mean absolute change of 24 x 24 grey pictures in three stretches of time, float32 [1728].

    Raises:
        DecodeError: the video cannot be read.
    """
    with open_video(path) as video:
        view = View(list(range(len(video))), box=centre_square(video.height, video.width), size=(_ENERGY_SIDE,) * 2)
        (frames,) = video.read_views([view])
    return energy_of(frames)


def energy_of(frames: NDArray[np.uint8]) -> Vectors:
    """Motion energy of frames [n, 24, 24, 3], n >= 4: float32 [1728]."""
    change = np.abs(np.diff(frames.astype(np.float32).mean(axis=3), axis=0))
    parts = [part.mean(axis=0).ravel() for part in np.array_split(change, _STRETCHES)]
    return np.concatenate(parts).astype(np.float32)
