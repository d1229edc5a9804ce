"""How one row of a study is judged: features of all videos, and the scores of every task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rspnet.features.descriptor import describe
from rspnet.features.embedder import Embedder
from rspnet.features.spaces import described_channels
from rspnet.lab.study.judged import JudgedSet, JudgedVideos
from rspnet.lab.study.row_scores import WHOLE_LINEAR, WHOLE_RECALL1, TaskScores, ridge_hits, ridge_scores, score_all
from rspnet.lab.study.sets import StudySet
from rspnet.lab.study.spec import StudyView

Vectors = NDArray[np.float32]
Channels = NDArray[np.int64]
_TRAIN, _TEST = "train", "test"


class Judge:
    """Judges networks on the videos of a study, which it decodes once.

    Args:
        view: how a video is looked at.
        videos: those that are trained on, and their test videos.
        sets: task -> set that is judged besides.
    """

    def __init__(self, view: StudyView, videos: StudySet, sets: Mapping[str, JudgedSet]) -> None:
        self.view, self.videos, self._sets = view, videos, sets
        self._seen = JudgedVideos()

    @property
    def classes(self) -> dict[str, int]:
        """Task -> its number of classes."""
        own = {name: len(task.classes) for name, task in self.videos.tasks.items()}
        return own | {name: judged.classes for name, judged in self._sets.items()}

    @property
    def judged_hashes(self) -> dict[str, str]:
        """Task -> SHA-256 of the videos of its set, of sets that are judged besides."""
        return {name: judged.hash() for name, judged in self._sets.items()}

    def __call__(self, embedder: Embedder | None, *, seed: int) -> tuple[dict[str, Vectors], dict[str, TaskScores]]:
        """Clip features of every list of videos, [N, n, C], and the scores of every task.

        Args:
            embedder: with the network to judge; None judges motion energies.
            seed: of the draws of few labels.

        Raises:
            RSPNetError: a video cannot be read.
        """
        lists = {_TRAIN: self.videos.train, _TEST: self.videos.test}
        lists |= {name: judged.records for name, judged in self._sets.items()}
        if embedder is None:
            features = {name: self._seen.energies(name, records) for name, records in lists.items()}
        else:
            features = {name: self._seen.features(embedder, name, records) for name, records in lists.items()}
        every = np.arange(features[_TRAIN].shape[2])
        view = self.view
        channels = (
            every if embedder is None else described_channels(embedder.model.backbone, view.stream, view.descriptor)
        )
        return features, self._scores(features, channels, seed=seed)

    def _scores(self, features: Mapping[str, Vectors], channels: Channels, *, seed: int) -> dict[str, TaskScores]:
        vectors = {name: self._described(part[:, :, channels]) for name, part in features.items()}
        if self.view.classifier == "logistic":
            return score_all(vectors[_TRAIN], vectors[_TEST], self.videos, seed=seed)
        whole = {name: self._described(part) for name, part in features.items()}
        found = {}
        for name, task in self.videos.tasks.items():
            found[name] = ridge_scores(
                vectors[_TRAIN], vectors[_TEST], task, self.videos.validation, descriptor=self.view.descriptor
            )
            asked = np.flatnonzero(task.test >= 0)
            labels = np.concatenate([task.train, task.test])
            folds = [(np.arange(len(task.train)), len(task.train) + asked)]
            both = np.concatenate([whole[_TRAIN], whole[_TEST]])
            self._add_whole(found[name], both, labels, folds)
        for name, judged in self._sets.items():
            hits = ridge_hits(vectors[name], judged.labels, judged.folds, descriptor=self.view.descriptor)
            found[name] = TaskScores({}, {})
            for score, right in hits.items():
                found[name].add(score, right)
            self._add_whole(found[name], whole[name], judged.labels, judged.folds)
        return found

    def _described(self, features: Vectors) -> Vectors:
        """[N, n, C] -> [N, D]; of a single clip, which has no deviation, the mean alone."""
        descriptor = self.view.descriptor if features.shape[1] > 1 else "mean"
        return np.stack([describe(clips, descriptor) for clips in features])

    def _add_whole(
        self,
        scores: TaskScores,
        whole: Vectors,
        labels: NDArray[np.int64],
        folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    ) -> None:
        hits = ridge_hits(whole, labels, folds, descriptor=self.view.descriptor)
        for score, name in (("linear", WHOLE_LINEAR), ("recall1", WHOLE_RECALL1)):
            scores.scores[name] = float(hits[score].mean())
