"""Fitting a classifier of windows: cross-validation over groups, calibration, and the choice of the events' rules."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import ConfigError
from rspnet.core.rng import numpy_rng
from rspnet.features.calibration import calibrate, log_loss
from rspnet.features.event_labels import BACKGROUND, Label, Truth, is_exclusive, truth_of
from rspnet.features.linear_maps import Fits, LinearMaps
from rspnet.features.linear_probe import DEFAULT_STRENGTH, STRENGTHS, fitting, fold_state
from rspnet.features.timeline import Event, Rule, Streak, cells, event_places, streaks_of
from rspnet.features.timeline_scores import OVERLAPS, Counts, segment_counts
from rspnet.features.window_classifier import Floats, chances

MOST_BACKGROUND = 20_000
"""Windows of unlabelled time that take part by default; more are drawn from."""
_BLOCK = 10
"""Windows of unlabelled time that stay together where folds are made inside videos."""
_SUSPECT = 0.5
_ROUGH = 1e-2
"""Fits that are only compared end where the gradient of their mean loss has this length."""
_RULE_VIDEOS = 30
"""Rules are tried on so many videos with a class, and as many without it."""
_LOW_SHARES = (1.0, 0.5)
_HIGHS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.8, 0.9)
_HOPS = (0.0, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class LabelledVideo:
    """A video's windows and labels.

    Attributes:
        path: of the file.
        start_s: of its windows, ascending: [n].
        end_s: likewise.
        vectors: [n, D].
        labels: of the video, see `as_spans`.
    """

    path: str
    start_s: Floats
    end_s: Floats
    vectors: NDArray[np.floating]
    labels: Sequence[Label]


@dataclass(frozen=True)
class Fitted:
    """A linear map to calibrated logits, and what cross-validation says of it.

    Attributes:
        names: of the C classes.
        exclusive: one class at a time.
        weights: [C, D].
        bias: [C].
        strength: inverse regularisation C that was chosen.
        grouped_by: "group", "video" or "stretch": what folds kept together; "" where there was no cross-validation.
        units: that of every window of every video.
        truths: of every video.
        used: bool, windows that were fitted to, video after video: [n].
        held_out: probabilities of every window by maps that were fitted without its unit [n, C]; NaN without folds.
        suspects: windows of unlabelled time that look like a class and were left out.
    """

    names: tuple[str, ...]
    exclusive: bool
    weights: Floats
    bias: Floats
    strength: float
    grouped_by: str
    units: list[Hashable]
    truths: list[Truth]
    used: NDArray[np.bool_]
    held_out: Floats
    suspects: int


@fitting()
def fit_windows(
    videos: Sequence[LabelledVideo], *, background: bool, folds: int, seed: int, most_background: int = MOST_BACKGROUND
) -> Fitted:
    """Fit a classifier to the labelled windows of some videos.

    Folds keep together what belongs together: the `group` of the labels where they have one, else the video. Where a
    class is in one of these only, folds are made of labelled stretches of the same videos, and scores then say little
    of other videos. Unlabelled time may hold what nobody has labelled yet: windows of it that the held-out maps take
    for a class are left out of the background.

    Args:
        videos: with labels.
        background: whether unlabelled time of these videos is a class of its own.
        folds: at most so many.
        seed: of the folds and of what is drawn from the background.
        most_background: windows of unlabelled time that take part, at most.

    Raises:
        ConfigError: fewer than two classes, no window of a class, or groups that are given for some labels only.
    """
    exclusive = is_exclusive({video.path: video.labels for video in videos}, window_s=window_length(videos))
    names = _names(videos, background=background and exclusive)
    truths = [truth_of(video.labels, names, video.start_s, video.end_s, exclusive=exclusive) for video in videos]
    x = np.concatenate([video.vectors for video in videos]).astype(np.float64)
    holds = np.concatenate([truth.holds for truth in truths])
    free = np.concatenate([truth.free for truth in truths])
    if background and exclusive:
        holds[free, names.index(BACKGROUND)] = True
    used = holds.any(axis=1) & ~free
    if background:
        used |= _drawn(free, most_background, seed)
    _check_classes(names, holds & used[:, None], exclusive)
    grouped_by, units, tests = _units(videos, truths, holds, used, folds=folds, seed=seed)
    problem = _Problem(x, holds, used, exclusive)
    suspects = np.zeros(len(x), bool)
    fits, result = None, None
    if tests is not None:
        fits, result = problem.cross_validate(tests, used)
        if background:
            events = [number for number, name in enumerate(names) if name != BACKGROUND]
            suspects = used & free & (result.chances[:, events].max(axis=1) > _SUSPECT)
            used = used & ~suspects
        if suspects.any():
            fits, result = problem.cross_validate(tests, used, strengths=(result.strength,), start=fits)
    strength = DEFAULT_STRENGTH if result is None else result.strength
    weights, bias = problem.map_of(used, strength, start=fits)
    if result is not None:
        weights, bias = weights * result.slope[:, None], bias * result.slope + result.shift
    held_out = np.full(holds.shape, np.nan) if result is None else result.chances
    return Fitted(
        tuple(names), exclusive, weights, bias, strength, grouped_by, units, truths, used, held_out, int(suspects.sum())
    )


def window_length(videos: Sequence[LabelledVideo]) -> float:
    """Seconds of a usual window."""
    return float(np.median(np.concatenate([video.end_s - video.start_s for video in videos])))


def _names(videos: Sequence[LabelledVideo], *, background: bool) -> list[str]:
    names = {row.label for video in videos for row in video.labels} | ({BACKGROUND} if background else set())
    return sorted(names - {BACKGROUND}) + ([BACKGROUND] if BACKGROUND in names else [])


def _drawn(free: NDArray[np.bool_], most: int, seed: int) -> NDArray[np.bool_]:
    places = np.flatnonzero(free)
    kept = numpy_rng(seed, "background").permutation(places)[:most]
    drawn = np.zeros(len(free), bool)
    drawn[kept] = True
    return drawn


def _check_classes(names: Sequence[str], holds: NDArray[np.bool_], exclusive: bool) -> None:
    for number, name in enumerate(names):
        if not holds[:, number].any() and name == BACKGROUND:
            raise ConfigError(
                "--background: no window of the labelled videos is free of labels: label shorter parts, or leave it out"
            )
        if not holds[:, number].any():
            raise ConfigError(
                f"class {name!r}: no window lies in its labels (they must share half of a window): "
                "label longer parts, or embed with a shorter --window_s"
            )
    if len(names) < 2 and (exclusive or holds.all()):
        raise ConfigError(f"one class only ({names[0]}): label another one, or draw a background with --background")


def _units(
    videos: Sequence[LabelledVideo],
    truths: Sequence[Truth],
    holds: NDArray[np.bool_],
    used: NDArray[np.bool_],
    *,
    folds: int,
    seed: int,
) -> tuple[str, list[Hashable], NDArray[np.bool_] | None]:
    """What folds keep together: its kind, that of every window, and the folds (see `_tests`)."""
    rows = [row for video in videos for row in video.labels]
    without = [row for row in rows if not row.group]
    if 0 < len(without) < len(rows):
        row = without[0]
        raise ConfigError(f"label {row.label!r} of {row.path!r} has no group, others have: give all labels one")
    kinds: dict[str, list[Hashable]] = {
        "video": [video.path for video in videos for _ in video.start_s],
        "stretch": [
            (video.path, int(row)) if row >= 0 else (video.path, "free", place // _BLOCK)
            for video, truth in zip(videos, truths, strict=True)
            for place, row in enumerate(truth.row)
        ],
    }
    if not without:
        of_video = {video.path: video.labels[0].group for video in videos}
        kinds = {"group": [of_video[str(path)] for path in kinds["video"]], **kinds}
    for kind, units in kinds.items():
        tests = _tests(units, holds, used, folds=folds, seed=seed)
        if tests is not None:
            return kind, units, tests
    return "", kinds["video"], None


@dataclass(frozen=True)
class _Validated:
    strength: float
    slope: Floats
    shift: Floats
    chances: Floats


def _tests(
    units: Sequence[Hashable], holds: NDArray[np.bool_], used: NDArray[np.bool_], *, folds: int, seed: int
) -> NDArray[np.bool_] | None:
    """Of which windows each fold holds the units out: bool [F, n]; units without a window in use are in no fold.

    None where a class is in one unit only, or where every division leaves a class out of some fold's training windows.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    places = np.flatnonzero(used)
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    of_window = np.array([numbers[unit] for unit in units])
    own, held = of_window[places], holds[places]
    most = min(folds, *(len(np.unique(own[holding])) for holding in held.T))
    strata = _strata(own, held, least=most)
    for count in range(most, 1, -1):
        splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=fold_state(seed))
        with warnings.catch_warnings(), suppress(ValueError):  # both of rare strata; the folds are checked below
            warnings.simplefilter("ignore", UserWarning)
            splits = list(splitter.split(places, strata, own))
        if splits and all(_has_all(held[train], held) for train, _ in splits):
            return np.array([np.isin(of_window, own[test]) for _, test in splits])
    return None


def _strata(units: NDArray[np.int64], holds: NDArray[np.bool_], *, least: int) -> NDArray[np.int64]:
    """What is spread evenly over folds, int64 [n]: the classes that hold together in a window; where fewer than `least`
    units show just these classes, the one of them that the fewest units hold."""
    together, strata = np.unique(holds, axis=0, return_inverse=True)
    strata = strata.reshape(-1).astype(np.int64)
    in_units = np.array([len(np.unique(units[holding])) for holding in holds.T])
    for number, classes in enumerate(together):
        where = strata == number
        if classes.any() and len(np.unique(units[where])) < least:
            strata[where] = len(together) + min(np.flatnonzero(classes), key=lambda place: in_units[place])
    return strata


def _has_all(train: NDArray[np.bool_], whole: NDArray[np.bool_]) -> bool:
    """Whether training windows hold every class, and lack every one that some window lacks."""
    return bool(train.any(axis=0).all() and ((~train).any(axis=0) | whole.all(axis=0)).all())


class _Problem:
    """Windows x [n, D] that hold classes [n, C]; those in `used` (bool [n]) take part."""

    def __init__(self, x: Floats, holds: NDArray[np.bool_], used: NDArray[np.bool_], exclusive: bool) -> None:
        self._x, self._holds, self._exclusive = x, holds, exclusive
        self._places = np.flatnonzero(used)
        self._maps = LinearMaps(x[used], holds[used], exclusive=exclusive)

    def map_of(self, used: NDArray[np.bool_], strength: float, *, start: Fits | None) -> tuple[Floats, Floats]:
        """The map that is fitted to windows `used`, weights [C, D] and bias [C]; `start`: fits to parts of them."""
        mean = None if start is None else Fits(*(part.mean(axis=-2, keepdims=True) for part in start.parts()))
        return self._maps.of_vectors(self._maps.fit(strength, used[None, self._places], start=mean), 0)

    def cross_validate(
        self,
        tests: NDArray[np.bool_],
        used: NDArray[np.bool_],
        *,
        strengths: Sequence[float] = STRENGTHS,
        start: Fits | None = None,
    ) -> tuple[Fits, _Validated]:
        """The strength with the least held-out log loss, its fits, its calibration, and calibrated held-out chances.

        Strengths are tried from the strongest regularisation on until the loss rises: weaker ones cost most.
        """
        own = tests[:, self._places]
        known = used & tests.any(axis=0)
        taken, of_fold = known[self._places], own.argmax(axis=0)
        holds = self._holds[known]
        best: tuple[float, float, Fits | None] = np.inf, strengths[0], None
        for strength in strengths:
            start = self._maps.fit(strength, ~own & used[self._places], start=start, tolerance=_ROUGH)
            logits = (start.logits + start.bias)[np.arange(len(of_fold)), of_fold][taken]
            loss = log_loss(logits.astype(np.float64), holds, exclusive=self._exclusive)
            if loss >= best[0]:
                break
            best = loss, strength, start
        _, strength, fits = best
        assert fits is not None
        logits = np.full(self._holds.shape, np.nan)
        for number, tested in enumerate(tests):
            weights, bias = self._maps.of_vectors(fits, number)
            logits[tested] = self._x[tested] @ weights.T + bias
        slope, shift = calibrate(logits[known], holds, exclusive=self._exclusive)
        return fits, _Validated(strength, slope, shift, chances(logits * slope + shift, exclusive=self._exclusive))


def true_events(video: LabelledVideo, name: str) -> list[Event]:
    """The labels of a class in a video as events; labels of the whole video end with its last window."""
    return [
        Event(name, row.start_s, min(row.end_s, float(video.end_s[-1]))) for row in video.labels if row.label == name
    ]


def choose_rules(videos: Sequence[LabelledVideo], names: Sequence[str], held_out: Floats) -> list[Rule]:
    """For each class the rule whose events fit the labels best: by segment F1 at the published overlaps.

    Each F1 counts as much as its overlap; with equal weights a single event from end to end could win in short videos.
    Of equally good rules the nearest to the plain rule (half, no gap, no least length) is taken, which a class
    without a label of a part of a video keeps. Of many videos some are drawn: as many with the class as without it.

    Args:
        videos: with labels of parts, all of whose time is labelled or background.
        names: of the C classes.
        held_out: probabilities of all their windows, video after video: [n, C].
    """
    borders = np.cumsum([len(video.start_s) for video in videos])[:-1]
    parts = np.split(held_out, borders)
    hop = float(np.median(np.concatenate([np.diff(video.start_s) for video in videos] + [np.ones(1)])))
    rules = []
    for number, name in enumerate(names):
        drawn = numpy_rng("rules", number).permutation(len(videos)).tolist()
        holds = [any(row.label == name for row in video.labels) for video in videos]
        with_it, without = ([place for place in drawn if holds[place] is there] for there in (True, False))
        places = sorted(with_it[:_RULE_VIDEOS] + without[:_RULE_VIDEOS])
        rules.append(_best_rule([videos[n] for n in places], name, [parts[n][:, number] for n in places], hop))
    return rules


def _best_rule(videos: Sequence[LabelledVideo], name: str, chances: Sequence[Floats], hop: float) -> Rule:
    true = [true_events(video, name) for video in videos]
    lengths = [event.end_s - event.start_s for events in true for event in events]
    if not lengths or name == BACKGROUND:
        return Rule()
    stretches = [cells(video.start_s, video.end_s) for video in videos]
    best, best_score = Rule(), -1.0
    leasts = (0.0, hop, min(lengths) / 2)
    known = [np.nan_to_num(own) for own in chances]

    @cache  # many rules go on down to the same probability
    def streaks(place: int, low: float) -> list[Streak]:
        return streaks_of(*stretches[place], known[place], low)

    @cache  # many rules make the same events
    def counted(place: int, events: tuple[tuple[int, int], ...]) -> list[Counts]:
        starts, ends = stretches[place]
        found = [Event(name, float(starts[first]), float(ends[after - 1])) for first, after in events]
        return [segment_counts(found, true[place], overlap) for overlap in OVERLAPS]

    for least, hops, share, high in product(leasts, _HOPS, _LOW_SHARES, _HIGHS):
        rule = Rule(high, high * share, hops * hop, least)
        counts = [counted(place, tuple(event_places(streaks(place, rule.low), rule))) for place in range(len(videos))]
        totals = (Counts(*map(sum, zip(*own, strict=True))) for own in zip(*counts, strict=True))
        score = sum(overlap * total.f1 for overlap, total in zip(OVERLAPS, totals, strict=True))
        if score > best_score + 1e-9:
            best, best_score = replace(rule), score
    return best
