"""The published table of results, and what it takes to repeat a cell of it (docs/method.md, sections 2, 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rspnet.core.errors import ConfigError
from rspnet.core.names import known_names

TRAINING_VIDEOS: Mapping[str, int] = {"k400": 240_000, "ucf101": 9_537, "hmdb51": 3_570, "ssv2": 168_913}
"""Training videos of the data sets, as their makers publish them (of UCF101 and HMDB51 in a fold; of K400 about)."""

PUBLISHED: Mapping[str, Mapping[int, float]] = {
    "ucf101-s3dg": {200: 89.9, 1000: 93.7},
    "hmdb51-s3dg": {200: 59.6, 1000: 64.7},
    "ssv2-s3dg": {1000: 55.0},
    "ucf101-r2plus1d_vcop": {200: 81.1},
    "hmdb51-r2plus1d_vcop": {200: 44.6},
    "ucf101-r3d_18": {200: 74.3},
    "hmdb51-r3d_18": {200: 41.8},
    "ssv2-r3d_18": {200: 44.0},
    "ucf101-c3d": {200: 76.7},
    "hmdb51-c3d": {200: 44.6},
    "ssv2-c3d": {200: 47.8},
}
"""Cell of the table -> epochs of pre-training on Kinetics-400 -> top-1 in percent after fine-tuning."""

_HOURS: Mapping[str, tuple[int, int]] = {
    "r3d_18": (140, 4),
    "s3dg": (166, 4),
    "c3d": (150, 4),
    "r2plus1d_vcop": (187, 6),
}

FINETUNING_GPUS = 4
"""V100 of a fine-tuning: published of R(2+1)D on UCF101 alone, and taken for the others, too."""

CLIPS_A_GPU: Mapping[str, int] = {"ucf101-r2plus1d_vcop": 8}
"""Cell -> clips a GPU of its fine-tuning, where the recipe's batch is that of several."""

BIBTEX = """\
@inproceedings{chen2021rspnet,
  title     = {{RSPNet}: Relative Speed Perception for Unsupervised Video Representation Learning},
  author    = {Chen, Peihao and Huang, Deng and He, Dongliang and Long, Xiang and Zeng, Runhao and Wen, Shilei and
               Tan, Mingkui and Gan, Chuang},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {35},
  number    = {2},
  year      = {2021},
}"""


@dataclass(frozen=True)
class Cell:
    """A cell of the published table.

    Attributes:
        name: data set and network, such as ucf101-r3d_18.
        epochs: of pre-training.
        top1: published, in percent.
        hours: published for 200 epochs of pre-training on `gpus` V100.
        gpus: V100 that the published pre-training had.
    """

    name: str
    epochs: int
    top1: float
    hours: int
    gpus: int

    @property
    def dataset(self) -> str:
        """The data set that is fine-tuned on."""
        return self.name.partition("-")[0]

    @property
    def network(self) -> str:
        """The backbone."""
        return self.name.partition("-")[2]


def find_cell(name: str, *, epochs: int | None = None) -> Cell:
    """A cell of the table; of several lengths of pre-training the shortest, unless one is named.

    Raises:
        ConfigError: there is no such cell, or none of so many epochs.
    """
    if name not in PUBLISHED:
        raise ConfigError(f"cell {name!r}: {known_names(name, PUBLISHED)}")
    known = PUBLISHED[name]
    wanted = min(known) if epochs is None else epochs
    if wanted not in known:
        raise ConfigError(f"--epochs {epochs}: {name} was published for {' and '.join(map(str, known))} epochs")
    return Cell(name, wanted, known[wanted], *_HOURS[name.partition("-")[2]])
