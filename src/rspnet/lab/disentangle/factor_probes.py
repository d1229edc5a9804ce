"""What do the backbone and the two heads hold? Linear probes of known factors on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.skipped import Skip
from rspnet.features.embedder import Embedder
from rspnet.features.linear_probe import fit_linear
from rspnet.features.video_stream import embedded_videos
from rspnet.lab.disentangle.binomial import Hits, Share, better_p_value, share_of
from rspnet.lab.disentangle.factor_set import APPEARANCE_FACTORS, MOTION_FACTORS, FactorVideo

SPACES = ("backbone", "motion head", "appearance head")
FACTORS = (*MOTION_FACTORS, *APPEARANCE_FACTORS)
P_VALUE = 0.05


@dataclass(frozen=True)
class FactorProbe:
    """How well one factor can be read.

    Attributes:
        factor: one of `FACTORS`.
        chance: share of the commonest value among the test videos.
        train, test: numbers of videos.
        shares: accuracy on test videos for each of `SPACES`.
        above_chance: "pass" where the backbone's interval lies above chance, else "fail".
        own_head: "pass" where the head that should hold the factor (motion for speed, direction and motion, else
            appearance) reads it better than the other one does with p < 0.05, "fail" where the other one is better,
            "undecided" else.
    """

    factor: str
    chance: float
    train: int
    test: int
    shares: dict[str, Share]
    above_chance: str
    own_head: str


def video_spaces(embedder: Embedder, videos: Sequence[FactorVideo], root: Path) -> dict[str, NDArray[np.float32]]:
    """Mean vectors of all clips of every video, one array [N, D] for each of `SPACES`.

    Raises:
        RSPNetError: a video cannot be read.
    """
    records = [VideoRecord(video.path(root), video.clip.name) for video in videos]
    rows: dict[str, list[NDArray[np.float32]]] = {space: [] for space in SPACES}

    def refuse(skip: Skip) -> None:
        raise RSPNetError(f"{skip.name!r}: {skip.reason}; remove {str(root)!r} to have it written again")

    for result in embedded_videos(embedder, records, what="videos", leave_out=refuse):
        for space, part in zip(SPACES, (result.features, result.motion, result.appearance), strict=True):
            rows[space].append(part.mean(axis=0))
    return {space: np.stack(part) for space, part in rows.items()}


def probe_factors(
    videos: Sequence[FactorVideo], spaces: dict[str, NDArray[np.float32]], *, folds: int, seed: int
) -> list[FactorProbe]:
    """Fit and score every factor in every space; classifiers see training videos only."""
    return [_probe(factor, videos, spaces, folds=folds, seed=seed) for factor in FACTORS]


def _probe(
    factor: str, videos: Sequence[FactorVideo], spaces: dict[str, NDArray[np.float32]], *, folds: int, seed: int
) -> FactorProbe:
    places = {
        split: [i for i, v in enumerate(videos) if factor in v.labels and v.clip.split == split]
        for split in ("train", "test")
    }
    names = sorted({video.labels[factor] for video in videos if factor in video.labels})
    train, test = (
        np.array([names.index(videos[i].labels[factor]) for i in places[split]]) for split in ("train", "test")
    )
    hits: dict[str, Hits] = {}
    for space, vectors in spaces.items():
        known, asked = vectors[places["train"]], vectors[places["test"]]
        fit = fit_linear(known, train, asked, num_classes=len(names), folds=folds, seed=seed, ridge=False)
        hits[space] = (fit.scores.argmax(axis=1) == test).astype(np.float64)
    shares = {space: share_of(hit) for space, hit in hits.items()}
    chance = max(Counter(test.tolist()).values()) / len(test)
    heads = hits["motion head"], hits["appearance head"]
    own, other = heads if factor in MOTION_FACTORS else heads[::-1]
    return FactorProbe(
        factor=factor,
        chance=chance,
        train=len(train),
        test=len(test),
        shares=shares,
        above_chance="pass" if shares["backbone"].low > chance else "fail",
        own_head=_better(own, other),
    )


def _better(own: Hits, other: Hits) -> str:
    if better_p_value(own, other) < P_VALUE:
        return "pass"
    return "fail" if better_p_value(other, own) < P_VALUE else "undecided"
