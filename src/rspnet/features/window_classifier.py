"""A classifier of windows as a file: linear on frozen features, calibrated, with the rules that make events."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.errors import ConfigError, RSPNetError, reason_of
from rspnet.core.files import READ_HERE, atomic_path, refuse_address
from rspnet.core.npz import read_npz
from rspnet.features.event_labels import BACKGROUND
from rspnet.features.store import Stamp
from rspnet.features.timeline import Event, Rule, timeline

CLASSIFIER = "classifier.npz"
"""What the file is called in a run folder."""
COMPARED = (
    "probabilities say which labelled class fits best, not whether any does: what is unlike all of them may get one "
    "near 1"
)
"""What users are told of probabilities."""
SCHEMA = 1
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WindowClassifier:
    """Probabilities of C classes from the vector of a window.

    Attributes:
        names: of the classes.
        exclusive: one class at a time (softmax), or each for itself (sigmoid).
        weights: float64 [C, D]; standardisation and calibration are in it.
        bias: float64 [C].
        rules: how the probabilities of each class become its events.
        vectors: the kinds of vectors that are joined to D numbers, such as ("features", "motion").
        stamp: of the features it was fitted to; it only judges features with the same stamp.
    """

    names: tuple[str, ...]
    exclusive: bool
    weights: Floats
    bias: Floats
    rules: tuple[Rule, ...]
    vectors: tuple[str, ...]
    stamp: Stamp

    def probabilities(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """[n, D] -> float64 [n, C]; rows sum to 1 where the classes exclude each other."""
        return chances(np.asarray(vectors, np.float64) @ self.weights.T + self.bias, exclusive=self.exclusive)

    def events(self, start_s: Floats, end_s: Floats, probabilities: Floats) -> list[Event]:
        """The events of one video; the background makes none.

        Args:
            start_s: of its windows, ascending: [n].
            end_s: likewise.
            probabilities: [n, C].
        """
        kept = [number for number, name in enumerate(self.names) if name != BACKGROUND]
        names, rules = [self.names[number] for number in kept], [self.rules[number] for number in kept]
        return timeline(names, start_s, end_s, probabilities[:, kept], rules)

    def refuse_other(self, stamp: Stamp, *, place: str) -> None:
        """Raise `ConfigError`, naming the difference, where features were made otherwise than those it was fitted to.

        Half precision on disk is no difference.
        """
        own = Stamp(**{**asdict(self.stamp), "dtype": stamp.dtype})
        if difference := own.difference(stamp):
            raise ConfigError(
                f"the classifier was fitted to features with {difference} as in {place!r}: make them again"
            )

    def save(self, path: Path) -> None:
        """Write it as .npz: two arrays and a text in JSON, nothing that could run."""
        about = {
            "schema": SCHEMA,
            "names": self.names,
            "exclusive": self.exclusive,
            "rules": [asdict(rule) for rule in self.rules],
            "vectors": self.vectors,
            "stamp": asdict(self.stamp),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, weights=self.weights, bias=self.bias, about=np.array(json.dumps(about)))

    @classmethod
    def load(cls, path: Path) -> WindowClassifier:
        """Read what `save` wrote.

        Raises:
            RSPNetError: the file is missing, damaged, no classifier, or of another version.
        """
        refuse_address("classifier", str(path), rule=READ_HERE)
        try:
            content = read_npz(path, ("about", "weights", "bias"))
            about = json.loads(str(content["about"]))
            weights, bias = (np.asarray(content[name], np.float64) for name in ("weights", "bias"))
            if about["schema"] != SCHEMA:
                raise RSPNetError(f"classifier {str(path)!r} was made by another version of rspnet: fit it again")
            found = cls(
                names=tuple(about["names"]),
                exclusive=about["exclusive"],
                weights=weights,
                bias=bias,
                rules=tuple(Rule(**rule) for rule in about["rules"]),
                vectors=tuple(about["vectors"]),
                stamp=Stamp(**about["stamp"]),
            )
            count = len(found.names)
            if (len(weights), len(bias), len(found.rules)) != (count, count, count):
                raise ValueError("numbers of classes disagree")
        except RSPNetError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RSPNetError(f"{str(path)!r} is no classifier of rspnet classify fit: {reason_of(error)}") from error
        return found


def classifier_file(path: str | os.PathLike[str]) -> Path:
    """The classifier in a run folder of `rspnet classify fit`, or the file itself."""
    place = Path(path)
    return place / CLASSIFIER if place.is_dir() else place


def open_window_classifier(text: str) -> tuple[WindowClassifier, str]:
    """The classifier and the class that CLASSIFIER[:label] names; without a label its first class of events.

    Raises:
        RSPNetError: no classifier there.
        ConfigError: it has no such class.
    """
    place, _, label = (text, "", "") if Path(text).exists() else text.rpartition(":")
    if not place:
        place, label = text, ""
    classifier = WindowClassifier.load(classifier_file(place))
    names = [name for name in classifier.names if name != BACKGROUND]
    if label and label not in names:
        raise ConfigError(f"--class {text}: the classifier has no class {label!r}: it has {', '.join(names)}")
    return classifier, label or names[0]


def chances(logits: Floats, *, exclusive: bool) -> Floats:
    """Softmax over classes [n, C], or the sigmoid of each."""
    if not exclusive:
        return np.asarray(0.5 * (1 + np.tanh(logits / 2)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
