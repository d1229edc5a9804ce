"""Classifiers on frozen features: logistic regression (scikit-learn), nearest neighbours, few labels."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.rng import derive_seed, numpy_rng
from rspnet.features.neighbours import top_k
from rspnet.features.scores import top_k_hits

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C (inverse regularisation on standardised features) that cross-validation chooses from."""
DEFAULT_STRENGTH = 1e-1
"""C where cross-validation is impossible: a single video in every class."""
_MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class LinearFit:
    """Scores of test videos by logistic regression.

    Attributes:
        scores: log-probabilities float64 [N, C]; -inf where a probability rounds to 0.
        strength: the C that was chosen.
        cross_validated: accuracy of that C in cross-validation on training videos; None where there was none.
    """

    scores: NDArray[np.float64]
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
) -> LinearFit:
    """Logistic regression on standardised features, C chosen by cross-validation on the training videos only.

    Args:
        train: [M, D].
        labels: int64 [M].
        test: [N, D].
        num_classes: C, columns of the scores.
        folds: at most this many, see `folds_of`.
        seed: of the folds.
        groups: videos of one group stay in one fold.

    Raises:
        RSPNetError: all labels are one class.
    """
    splits = folds_of(labels, groups, folds=folds, seed=seed)
    return _fit_chosen(train, labels, test, num_classes=num_classes, splits=splits)


def fit_held_out(
    train: Features, labels: Labels, test: Features, *, num_classes: int, held_out: NDArray[np.bool_]
) -> LinearFit:
    """The same, C chosen on those training videos that `held_out` (bool [M]) marks, by fits to the others."""
    splits = [(np.flatnonzero(~held_out), np.flatnonzero(held_out))]
    return _fit_chosen(train, labels, test, num_classes=num_classes, splits=splits)


def _fit_chosen(
    train: Features, labels: Labels, test: Features, *, num_classes: int, splits: Sequence[tuple[Labels, Labels]] | None
) -> LinearFit:
    """With the C that is right most often on the second places of `splits`, after fits to the first ones."""
    if len(np.unique(labels)) < 2:
        raise RSPNetError(f"the training videos that could be read ({len(labels)}) are of one class: two are needed")
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), logistic(DEFAULT_STRENGTH))
    with fitting():
        if splits is None:
            model, strength, accuracy = pipeline.fit(train, labels), DEFAULT_STRENGTH, None
        else:
            search = GridSearchCV(pipeline, {"logisticregression__C": STRENGTHS}, cv=splits, scoring="accuracy")
            search.fit(train, labels)
            model, strength = search.best_estimator_, float(search.best_params_["logisticregression__C"])
            accuracy = float(search.best_score_)
    scores = np.full((len(test), num_classes), -np.inf)
    with np.errstate(divide="ignore"):  # the logarithm of a probability that rounds to 0 is minus infinity
        scores[:, model.classes_] = model.predict_log_proba(test)
    return LinearFit(scores, strength, accuracy)


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
        yield


def folds_of(
    labels: Labels, groups: Sequence[Hashable] | None, *, folds: int, seed: int
) -> list[tuple[Labels, Labels]] | None:
    """The folds of a cross-validation, each as places that are learned from and places that are tested.

    Every class with two videos (or groups) or more is tested in every fold, so there are as many folds as the rarest
    of these classes has, at most `folds`. A class with one is learned from in all of them and tested in none.
    None where every class has one.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    units = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = {label: len(np.unique(units[labels == label])) for label in np.unique(labels).tolist()}
    tested = {label: count for label, count in counts.items() if count > 1}
    if not tested:
        return None
    places = np.flatnonzero(np.isin(labels, list(tested)))
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(n_splits=min(folds, *tested.values()), shuffle=True, random_state=fold_state(seed))
    rest = np.setdiff1d(np.arange(len(labels)), places)
    found = []
    for learned, asked in splitter.split(places, labels[places], None if groups is None else units[places]):
        kept = rest[~np.isin(units[rest], units[places[asked]])]
        found.append((np.union1d(places[learned], kept), places[asked]))
    return found


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
    train: Features, labels: Labels, test: Features, test_labels: Labels, *, count: int, draws: int, seed: int
) -> FewLabels:
    """One point of the few-label curve; the interval is Student's t over the draws."""
    from scipy.stats import t

    num_classes = int(max(labels.max(), test_labels.max())) + 1
    found = []
    for draw in range(draws):
        chosen = draw_few(labels, count, seed=seed, draw=draw)
        fit = fit_linear(train[chosen], labels[chosen], test, num_classes=num_classes, folds=min(5, count), seed=seed)
        found.append(float(top_k_hits(fit.scores, test_labels, 1).mean()))
    mean = float(np.mean(found))
    half = float(t.ppf(0.975, draws - 1) * np.std(found, ddof=1) / np.sqrt(draws))
    return FewLabels(count, found, mean, max(0.0, mean - half), min(1.0, mean + half))
