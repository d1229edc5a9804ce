"""What cross-validation says of a classifier of windows: scores with intervals, and what there is too little of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.features.event_labels import BACKGROUND, overlapping
from rspnet.features.timeline import Event, Rule, timeline
from rspnet.features.timeline_scores import (
    OVERLAPS,
    Counts,
    average_precision,
    edit_score,
    interval_over_groups,
    segment_counts,
)
from rspnet.features.window_fit import Fitted, LabelledVideo, true_events, window_length

FEW_STRETCHES, FEW_UNITS = 5, 3
"""Fewer labelled stretches of a class, or fewer videos (groups) with it, are warned of."""


def class_scores(fitted: Fitted, *, seed: int) -> dict[str, Any]:
    """Precision, recall and average precision of every class over held-out windows, with 95 % intervals over units.

    A class is predicted where it is the likeliest one, or, where classes may hold together, from one half on.
    """
    used = np.flatnonzero(fitted.used & ~np.isnan(fitted.held_out).any(axis=1))
    chances = fitted.held_out[used]
    holds = np.concatenate([truth.holds for truth in fitted.truths])[used]
    if BACKGROUND in fitted.names:
        free = np.concatenate([truth.free for truth in fitted.truths])[used]
        holds[free, fitted.names.index(BACKGROUND)] = True
    units = [fitted.units[place] for place in used]
    said = chances == chances.max(axis=1, keepdims=True) if fitted.exclusive else chances >= 0.5
    scores = {}
    for number, name in enumerate(fitted.names):
        own, truth = said[:, number], holds[:, number]
        statistics: dict[str, Callable[[NDArray[np.int64]], float]] = {
            "precision": lambda at, own=own, truth=truth: _share(truth[at][own[at]]),  # type: ignore[misc]
            "recall": lambda at, own=own, truth=truth: _share(own[at][truth[at]]),  # type: ignore[misc]
            "average_precision": lambda at, truth=truth, number=number: average_precision(  # type: ignore[misc]
                chances[at, number], truth[at]
            ),
        }
        scores[name] = {"windows": int(truth.sum())} | {
            kind: _with_interval(statistic, units, seed) for kind, statistic in statistics.items()
        }
    return scores


def segment_scores(
    videos: Sequence[LabelledVideo], fitted: Fitted, rules: Sequence[Rule], *, seed: int
) -> dict[str, Any]:
    """Segment F1 at the published overlaps and the edit score of held-out events, with 95 % intervals over videos, or
    over groups of them where folds keep these together.

    NOTE: the rules were chosen on the same held-out probabilities; the scores of new videos are a little lower.
    """
    parts = np.split(np.nan_to_num(fitted.held_out), np.cumsum([len(video.start_s) for video in videos])[:-1])
    kept = [number for number, name in enumerate(fitted.names) if name != BACKGROUND]
    names = [fitted.names[number] for number in kept]
    found = [
        timeline(names, video.start_s, video.end_s, part[:, kept], [rules[number] for number in kept])
        for video, part in zip(videos, parts, strict=True)
    ]
    true = [[event for name in names for event in true_events(video, name)] for video in videos]
    by_group = fitted.grouped_by == "group"
    units = [video.labels[0].group if by_group else video.path for video in videos]
    return scores_of_events(found, true, units, seed=seed)


def scores_of_events(
    found: Sequence[Sequence[Event]], true: Sequence[Sequence[Event]], groups: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """Segment F1 and edit score of the events of several videos, with 95 % intervals over groups of them."""
    scores = {}
    for overlap in OVERLAPS:
        counts = [segment_counts(one, other, overlap) for one, other in zip(found, true, strict=True)]

        def f1(at: NDArray[np.int64], counts: Sequence[Counts] = counts) -> float:
            return sum((counts[place] for place in at), start=Counts(0, 0, 0)).f1

        scores[f"f1@{overlap}"] = _with_interval(f1, groups, seed)
    edits = np.array([edit_score(one, other) for one, other in zip(found, true, strict=True)])
    scores["edit"] = _with_interval(lambda at: float(edits[at].mean()), groups, seed)
    return scores


def too_little(videos: Sequence[LabelledVideo], fitted: Fitted) -> list[str]:
    """A sentence for every class with few labelled stretches or few videos (groups), and for what was not possible."""
    texts = []
    for name in fitted.names:
        rows = [(row, video.path) for video in videos for row in video.labels if row.label == name]
        if name == BACKGROUND:
            continue
        places = {row.group or path for row, path in rows}
        if len(rows) < FEW_STRETCHES:
            texts.append(
                f"class {name!r} has {counted(len(rows), 'label')}: too few to judge it, label at least {FEW_STRETCHES}"
            )
        elif len(places) < FEW_UNITS:
            texts.append(
                f"class {name!r} comes from too few videos or groups ({len(places)}): label it in {FEW_UNITS} or more"
            )
    if fitted.grouped_by not in ("group", "") and any(row.group for video in videos for row in video.labels):
        texts.append(f"a class is labelled in one group only: folds keep a {fitted.grouped_by} together, not a group")
    shared = overlapping({video.path: video.labels for video in videos}, window_s=window_length(videos))
    if shared is not None:
        one, other = shared
        texts.append(
            f"classes share moments (the first: {one.label!r} to {one.end_s:g} s, {other.label!r} from "
            f"{other.start_s:g} s, {other.path!r}): each is judged for itself, and there is no class {BACKGROUND!r}"
        )
    if fitted.grouped_by == "stretch":
        texts.append("a class is labelled in one video only: scores are of other moments of the same videos")
    if not fitted.grouped_by:
        texts.append("a class has one label only: no cross-validation, no scores, uncalibrated probabilities")
    if fitted.suspects:
        texts.append(
            f"unlabelled time that looks like a class was left out of the background "
            f"({counted(fitted.suspects, 'window')}): label it"
        )
    return texts


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _with_interval(
    statistic: Callable[[NDArray[np.int64]], float], units: Sequence[Any], seed: int
) -> dict[str, float | None]:
    low, high = interval_over_groups(statistic, units, seed=seed)
    values = {"value": statistic(np.arange(len(units))), "low": low, "high": high}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
