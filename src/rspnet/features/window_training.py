"""From labelled windows to a classifier with its rules: what `rspnet classify fit` and the page's training share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rspnet.features.store import Stamp
from rspnet.features.timeline import Rule
from rspnet.features.window_classifier import WindowClassifier
from rspnet.features.window_fit import MOST_BACKGROUND, Fitted, LabelledVideo, choose_rules, fit_windows

FOLDS = 5
"""Folds of the cross-validation that chooses the regularisation and the rules, at most. With 3 of them five labels a
class gave rules that joined events: F1@.5 of planted events 0.59 instead of 0.98."""


@dataclass(frozen=True)
class Training:
    """How a classifier is fitted.

    Attributes:
        vectors: kinds of vectors that were joined, such as ("features", "motion").
        background: whether unlabelled time of the labelled videos is a class of its own.
        folds: of the cross-validation, at most.
        seed: of the folds and of what is drawn from the background.
        most_background: windows of unlabelled time that take part, at most.
    """

    vectors: tuple[str, ...]
    background: bool
    folds: int = FOLDS
    seed: int = 0
    most_background: int = MOST_BACKGROUND


@dataclass(frozen=True)
class TrainedWindows:
    """A classifier, what cross-validation says of it, and whether its rules were chosen on the labels."""

    classifier: WindowClassifier
    fitted: Fitted
    has_rules: bool


def train_classifier(videos: Sequence[LabelledVideo], stamp: Stamp, how: Training) -> TrainedWindows:
    """Fit a classifier to labelled windows, and choose how its probabilities become events where labels allow that.

    Rules are chosen on labels of parts of videos whose other time is background, with probabilities of held-out maps.

    Raises:
        ConfigError: as `fit_windows`.
    """
    fitted = fit_windows(
        videos, background=how.background, folds=how.folds, seed=how.seed, most_background=how.most_background
    )
    of_parts = all(row.end_s < math.inf for video in videos for row in video.labels)
    has_rules = how.background and of_parts and bool(fitted.grouped_by)
    rules = choose_rules(videos, fitted.names, fitted.held_out) if has_rules else [Rule() for _ in fitted.names]
    classifier = WindowClassifier(
        names=fitted.names,
        exclusive=fitted.exclusive,
        weights=fitted.weights,
        bias=fitted.bias,
        rules=tuple(rules),
        vectors=how.vectors,
        stamp=stamp,
    )
    return TrainedWindows(classifier, fitted, has_rules)
