"""Classifiers on frozen features: ridge and logistic regression (scikit-learn), nearest neighbours, few labels."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.rng import derive_seed, numpy_rng
from rspnet.features.calibration import calibrate
from rspnet.features.neighbours import top_k
from rspnet.features.scores import top_k_hits

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Splits = Sequence[tuple[Labels, Labels]]
Grid = dict[str, Any]
_CLASSIFIER = "classifier"
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C (inverse regularisation on standardised features) that cross-validation chooses from."""
PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0)
"""Those of the ridge classifier on standardised features, likewise; of equals the first is taken, ridge before C."""
DEFAULT_STRENGTH = 1e-1
"""C where cross-validation is impossible: a single video in every class."""
_MAX_ITERATIONS = 2000
_MOST_SURENESS = 3.0
"""Decisions of a ridge classifier are multiplied by e^3 at most."""


@dataclass(frozen=True)
class LinearFit:
    """Scores of test videos by a linear classifier.

    Attributes:
        scores: log-probabilities float64 [N, C]; -inf where a probability rounds to 0. A ridge classifier's are the
            softmax of its decisions times the number that suits those about held-out training videos best.
        classifier: which was chosen.
        strength: its penalty (ridge) or C (logistic).
        cross_validated: its accuracy in cross-validation on training videos; None where there was none.
    """

    scores: NDArray[np.float64]
    classifier: Literal["ridge", "logistic"]
    strength: float
    cross_validated: float | None


def require_sklearn(command: str = "rspnet probe") -> None:
    """Raise where the extra `probe` is not installed."""
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(f"{command} needs scikit-learn: pip install 'rspnet[probe]'") from error


def fit_linear(
    train: Features,
    labels: Labels,
    test: Features,
    *,
    num_classes: int,
    folds: int,
    seed: int,
    groups: Sequence[str] | None = None,
    ridge: bool = True,
) -> LinearFit:
    """Ridge or logistic regression on standardised features, chosen by cross-validation on the training videos only.

    The ridge classifier reads long vectors better (descriptors of several stages, docs/recognition.md); with short ones
    either may. Where cross-validation is impossible, it is logistic regression.

    Args:
        train: [M, D].
        labels: int64 [M].
        test: [N, D].
        num_classes: C, columns of the scores.
        folds: at most this many, see `folds_of`.
        seed: of the folds.
        groups: videos of one group stay in one fold.
        ridge: False fits logistic regression alone, with the best C.

    Raises:
        RSPNetError: all labels are one class.
    """
    splits = folds_of(labels, groups, folds=folds, seed=seed)
    candidates = [_ridges(), _logistics()] if ridge else [_logistics()]
    return _fit_chosen(train, labels, test, num_classes=num_classes, splits=splits, candidates=candidates)


def fit_held_out(
    train: Features, labels: Labels, test: Features, *, num_classes: int, held_out: NDArray[np.bool_]
) -> LinearFit:
    """Logistic regression, C chosen on the training videos that `held_out` (bool [M]) marks, by fits to the others."""
    splits = [(np.flatnonzero(~held_out), np.flatnonzero(held_out))]
    return _fit_chosen(train, labels, test, num_classes=num_classes, splits=splits, candidates=[_logistics()])


def _fit_chosen(
    train: Features, labels: Labels, test: Features, *, num_classes: int, splits: Splits | None, candidates: list[Grid]
) -> LinearFit:
    """By the candidate that is right most often on the second places of `splits`, after fits to the first ones."""
    if len(np.unique(labels)) < 2:
        raise RSPNetError(f"the training videos that could be read ({len(labels)}) are of one class: two are needed")
    from scipy.special import log_softmax
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    model = Pipeline([("scaler", StandardScaler()), (_CLASSIFIER, logistic(DEFAULT_STRENGTH))])
    scores, accuracy = np.full((len(test), num_classes), -np.inf), None
    with fitting():
        if splits is None:
            model.fit(train, labels)
        else:
            search = GridSearchCV(model, candidates, cv=splits, scoring="accuracy").fit(train, labels)
            model, accuracy = search.best_estimator_, float(search.best_score_)
        chosen = model[_CLASSIFIER]
        if isinstance(chosen, RidgeClassifier):
            assert splits is not None
            found = _decisions(model, test) * _sureness(model, train, labels, splits)
            scores[:, model.classes_] = log_softmax(found, axis=1)
            return LinearFit(scores, "ridge", float(chosen.alpha), accuracy)
        with np.errstate(divide="ignore"):  # the logarithm of a probability that rounds to 0 is minus infinity
            scores[:, model.classes_] = model.predict_log_proba(test)
        return LinearFit(scores, "logistic", float(chosen.C), accuracy)


def _ridges() -> Grid:
    from sklearn.linear_model import RidgeClassifier

    return {_CLASSIFIER: [RidgeClassifier()], f"{_CLASSIFIER}__alpha": PENALTIES}


def _logistics() -> Grid:
    return {_CLASSIFIER: [logistic(DEFAULT_STRENGTH)], f"{_CLASSIFIER}__C": STRENGTHS}


def _decisions(model: Any, x: Features) -> NDArray[np.float64]:
    """How much a ridge classifier takes vectors [n, D] for each of its classes [n, C]."""
    found = np.asarray(model.decision_function(x), np.float64)
    return found if found.ndim == 2 else np.stack([-found, found], axis=1)


def _sureness(model: Any, train: Features, labels: Labels, splits: Splits) -> float:
    """What to multiply a ridge classifier's decisions by, so that their softmax is right as often as it says."""
    from sklearn.base import clone

    classes = np.unique(labels)
    decisions, holds = [], []
    for learned, asked in splits:
        part = clone(model).fit(train[learned], labels[learned])
        own = np.full((len(asked), len(classes)), -1.0)  # of a class that it has not seen
        own[:, np.isin(classes, part.classes_)] = _decisions(part, train[asked])
        decisions.append(own)
        holds.append(labels[asked, None] == classes)
    # Decisions lie between -1 and 1, logits beyond.
    slope, _ = calibrate(np.concatenate(decisions), np.concatenate(holds), exclusive=True, most=_MOST_SURENESS)
    return float(slope[0])


def logistic(strength: float) -> Any:
    """The logistic regression of every classifier here, to be fitted to standardised features inside `fitting`."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS)


@contextmanager
def fitting() -> Iterator[None]:
    """Fit inside: one thread, without warnings that mean nothing here.

    NOTE: one thread does the fits. Each is a long row of small matrix products; threads of BLAS and OpenMP that share
    cores with other work mostly wait for each other there (docs/benchmarks.md).
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1), warnings.catch_warnings():
        # At the weakest regularisation the last digits take longest; accuracy does not depend on them.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes")  # one label a class is meant
        warnings.filterwarnings("ignore", message="Ill-conditioned matrix")  # a weak penalty, and few videos
        yield


def folds_of(
    labels: Labels, groups: Sequence[Hashable] | None, *, folds: int, seed: int
) -> list[tuple[Labels, Labels]] | None:
    """The folds of a cross-validation, each as places that are learned from and places that are tested.

    Every class with two videos (or groups) or more is tested in every fold, so there are as many folds as the rarest
    of these classes has, at most `folds`. A class with one is learned from in all of them and tested in none.
    None where fewer than two classes have two, or where groups leave every fold a single class to learn.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    units = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = {label: len(np.unique(units[labels == label])) for label in np.unique(labels).tolist()}
    tested = {label: count for label, count in counts.items() if count > 1}
    if len(tested) < 2:
        return None
    places = np.flatnonzero(np.isin(labels, list(tested)))
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(n_splits=min(folds, *tested.values()), shuffle=True, random_state=fold_state(seed))
    rest = np.setdiff1d(np.arange(len(labels)), places)
    found = []
    for learned, asked in splitter.split(places, labels[places], None if groups is None else units[places]):
        kept = rest[~np.isin(units[rest], units[places[asked]])]
        found.append((np.union1d(places[learned], kept), places[asked]))
    return [fold for fold in found if len(np.unique(labels[fold[0]])) > 1] or None


def fold_state(seed: int) -> int:
    """The state that a cross-validation's folds are drawn from."""
    return derive_seed(seed, "folds") % 2**32


def nearest_scores(
    train: Features, labels: Labels, test: Features, *, num_classes: int, neighbours: int, temperature: float
) -> NDArray[np.float64]:
    """Votes float64 [N, C]: each of the k nearest training videos by cosine votes with exp(cosine / temperature)."""
    found = top_k(torch.from_numpy(test), torch.from_numpy(train), min(neighbours, len(train)))
    votes = np.exp((found.scores.numpy().astype(np.float64) - 1) / temperature)  # - 1: no overflow, same order
    scores = np.zeros((len(test), num_classes))
    np.add.at(scores, (np.arange(len(test))[:, None], labels[found.indices.numpy()]), votes)
    return scores


def draw_few(labels: Labels, count: int, *, seed: int, draw: int) -> NDArray[np.int64]:
    """Places of `count` training videos of every class, ascending; smaller counts of a draw lie in larger ones."""
    chosen = [
        numpy_rng(seed, "few labels", draw, int(label)).permutation(np.flatnonzero(labels == label))[:count]
        for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class FewLabels:
    """Top-1 of the linear classifier with `count` labels a class: of every draw, their mean and its 95 % interval."""

    count: int
    draws: list[float]
    mean: float
    low: float
    high: float


def few_label_point(
    train: Features,
    labels: Labels,
    test: Features,
    test_labels: Labels,
    *,
    count: int,
    draws: int,
    seed: int,
    ridge: bool = True,
) -> FewLabels:
    """One point of the few-label curve (see `fit_linear`); the interval is Student's t over the draws."""
    from scipy.stats import t

    num_classes = int(max(labels.max(), test_labels.max())) + 1
    found = []
    for draw in range(draws):
        chosen = draw_few(labels, count, seed=seed, draw=draw)
        fit = fit_linear(
            train[chosen], labels[chosen], test, num_classes=num_classes, folds=min(5, count), seed=seed, ridge=ridge
        )
        found.append(float(top_k_hits(fit.scores, test_labels, 1).mean()))
    mean = float(np.mean(found))
    half = float(t.ppf(0.975, draws - 1) * np.std(found, ddof=1) / np.sqrt(draws))
    return FewLabels(count, found, mean, max(0.0, mean - half), min(1.0, mean + half))
