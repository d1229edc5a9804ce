"""What features are worth: every score of one checkpoint from one feature vector a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.features.descriptor import Descriptor
from rspnet.features.linear_probe import few_label_point, fit_held_out
from rspnet.features.neighbours import hits_at_k
from rspnet.features.ridge_probe import ridge_and_nearest
from rspnet.lab.study.sets import StudySet, Task

Features = NDArray[np.float32]
Hits = NDArray[np.bool_]
Labels = NDArray[np.int64]
FEW, DRAWS = 5, 5
WHOLE_LINEAR, WHOLE_RECALL1 = "linear_whole", "recall1_whole"
"""The same by all channels of a network, whatever stream the study judges by."""
FINETUNED = "finetuned"
"""Score of a network whose weights were all trained on the labels; only studies that fine-tune have it."""


@dataclass(frozen=True)
class TaskScores:
    """Shares of 1 of one task, and which test videos each right-or-wrong score got right.

    Attributes:
        scores: linear (top-1 of logistic regression on standardised features), recall1 and recall5 (nearest training
            videos by cosine), few (linear with 5 labels a class, mean of 5 draws), and linear_validation and
            recall1_validation, the only ones to tune by.
        hits: for linear and recall1: bool over the test videos that are asked.
    """

    scores: dict[str, float]
    hits: dict[str, Hits]

    def add(self, name: str, hits: Hits) -> None:
        """One more score, by which test videos were right."""
        self.scores[name] = float(hits.mean())
        self.hits[name] = hits


def score_all(train: Features, test: Features, videos: StudySet, *, seed: int) -> dict[str, TaskScores]:
    """Scores of every task of a set from features [M, C] and [N, C] of its videos."""
    return {name: score_task(train, test, task, videos.validation, seed=seed) for name, task in videos.tasks.items()}


def score_task(train: Features, test: Features, task: Task, validation: Hits, *, seed: int) -> TaskScores:
    """Scores of one task; test videos of a class that training does not have are left out."""
    asked = task.test >= 0
    queries, wanted = test[asked], task.test[asked]
    num_classes = len(task.classes)
    fit = fit_held_out(train, task.train, queries, num_classes=num_classes, held_out=validation)
    linear = fit.scores.argmax(axis=1) == wanted
    recall = _recall(queries, wanted, train, task.train, ks=(1, 5))
    inner = _recall(train[validation], task.train[validation], train[~validation], task.train[~validation], ks=(1,))
    few = few_label_point(train, task.train, queries, wanted, count=FEW, draws=DRAWS, seed=seed, ridge=False)
    assert fit.cross_validated is not None
    scores = {
        "linear": float(linear.mean()),
        "recall1": float(recall[1].mean()),
        "recall5": float(recall[5].mean()),
        "few": few.mean,
        "linear_validation": fit.cross_validated,
        "recall1_validation": float(inner[1].mean()),
    }
    return TaskScores(scores, {"linear": linear, "recall1": recall[1]})


def ridge_scores(
    train: Features, test: Features, task: Task, validation: Hits, *, descriptor: Descriptor
) -> TaskScores:
    """The same by the ridge classifier: linear and recall1, on test videos and on validation videos."""
    asked = task.test >= 0
    linear, near = ridge_and_nearest(train, task.train, test[asked], task.test[asked], descriptor=descriptor)
    inner = ridge_and_nearest(
        train[~validation], task.train[~validation], train[validation], task.train[validation], descriptor=descriptor
    )
    scores = {"linear": float(linear.mean()), "recall1": float(near.mean())}
    scores |= {f"{name}_validation": float(hits.mean()) for name, hits in zip(scores, inner, strict=True)}
    return TaskScores(scores, {"linear": linear, "recall1": near})


def ridge_hits(
    vectors: Features, labels: Labels, folds: Sequence[tuple[Labels, Labels]], *, descriptor: Descriptor
) -> dict[str, Hits]:
    """Which videos are right when their fold tests them, by score: bool over the tested videos, in their own order.

    Args:
        vectors: [N, D] of all videos.
        labels: int64 [N].
        folds: places of training and test videos.
        descriptor: what the vectors are.
    """
    right = {name: np.zeros(len(labels), np.bool_) for name in ("linear", "recall1")}
    tested = np.zeros(len(labels), np.bool_)
    for train, test in folds:
        answers = ridge_and_nearest(vectors[train], labels[train], vectors[test], labels[test], descriptor=descriptor)
        for hits, answer in zip(right.values(), answers, strict=True):
            hits[test] = answer
        tested[test] = True
    return {name: hits[tested] for name, hits in right.items()}


def _recall(
    queries: Features, wanted: Labels, gallery: Features, labels: Labels, *, ks: Sequence[int]
) -> dict[int, Hits]:
    """Whether one of the k nearest gallery videos has the query's class, for every k: bool [N]."""
    query, stored, query_labels, stored_labels = map(torch.from_numpy, (queries, gallery, wanted, labels))
    most = [min(k, len(gallery)) for k in ks]
    found = hits_at_k(query, stored, query_labels, stored_labels, most)
    return {k: found[few].numpy() for k, few in zip(ks, most, strict=True)}
