"""What the page can do with labels, without any page: marking, undoing, training, what to look at next.

Labels are in a `LabelLog` of the library and belong to all users; what a user trained is a frozen value like a query.
Training reads the vectors that the library holds and calls what `rspnet classify fit` calls; no video is decoded.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.rng import numpy_rng
from rspnet.features.event_labels import BACKGROUND, Label, as_spans, find_paths, read_labels, refuse_near_names
from rspnet.features.linear_probe import require_sklearn
from rspnet.features.read import StoredVideo
from rspnet.features.spaces import unit_rows
from rspnet.features.store import Stamp
from rspnet.features.timeline import Event
from rspnet.features.window_classifier import COMPARED, WindowClassifier
from rspnet.features.window_fit import LabelledVideo
from rspnet.features.window_training import Training, train_classifier
from rspnet.search.class_search import class_hits, library_windows, stamp_of_library
from rspnet.search.hits import ClassHit
from rspnet.search.label_log import LabelLog, Labels, Mark, part
from rspnet.search.library import Library
from rspnet.search.next_labels import SKETCH, next_to_label, unlabelled

MOST_CLASSES = 9
"""As many as there are keys."""
ENOUGH_LABELS = 5
"""Of a class; with fewer the page says that its scores mean little."""
_HOW = Training(("features",), background=True, most_background=500)
_TRAINED_KEPT = 4


@dataclass(frozen=True)
class Change:
    """A step of a user: ids of the labels it added, and those it removed, to be undone."""

    added: tuple[str, ...]
    removed: tuple[Mark, ...]


@dataclass(frozen=True)
class Judged:
    """A classifier, and what it says of the whole library.

    Attributes:
        classifier: fitted to the labels.
        labels: those it was fitted to.
        grouped_by: what its cross-validation kept together; see `Fitted`.
        videos: by path; values are [n, C] probabilities.
        sketches: [n, S] of the same windows, near each other where the windows look alike to it.
    """

    classifier: WindowClassifier
    labels: Labels
    grouped_by: str
    videos: Mapping[str, StoredVideo]
    sketches: Mapping[str, NDArray[np.float32]]

    @property
    def classes(self) -> list[str]:
        """Those that make events."""
        return [name for name in self.classifier.names if name != BACKGROUND]

    def caution(self) -> str:
        """How to read the probabilities where few labels taught a class; "" where each had enough."""
        counts = Counter(mark.label for mark in self.labels.marks)
        name, count = counts.most_common()[-1]
        if count >= ENOUGH_LABELS:
            return ""
        return f"Scores mean little with so few labels ({count} of {name}): {COMPARED}."

    def events(self, path: str) -> list[Event]:
        """The events of a video."""
        video = self.videos.get(path)
        return [] if video is None else self.classifier.events(video.start_s, video.end_s, video.values)


class Labelling:
    """Labels of a library.

    Args:
        library: open for searching.
        names: of its readable videos -> path.
        folder: where labels are kept; None where there is no place for them.
    """

    def __init__(self, library: Library, names: Mapping[str, str], folder: Path | None) -> None:
        self.library = library
        self._shown = {path: name for name, path in names.items()}
        self._log = None if folder is None else LabelLog(folder)
        self._lock = threading.Lock()
        self._judged: OrderedDict[Labels, Judged] = OrderedDict()

    @cached_property
    def stamp(self) -> Stamp:
        """What the library's vectors are."""
        return stamp_of_library(self.library)

    def read(self) -> Labels:
        """The labels of the library's videos now, those of others included."""
        held = self._held()
        return replace(held, marks=tuple(mark for mark in held.marks if mark.path in self._shown))

    def elsewhere(self) -> str:
        """What to say of labels whose videos are not in the library (any more); "" where there are none."""
        marks = self._held().marks
        lost = [mark for mark in marks if mark.path not in self._shown]
        if not lost:
            return ""
        are = "is of a video that is" if len(lost) == 1 else "are of videos that are"
        of = f"{len(lost)} of {counted(len(marks), 'label')}"
        return f"{of} {are} not in this library (the first: {lost[0].path!r})"

    def _held(self) -> Labels:
        return Labels() if self._log is None else self._log.read()

    # --- marking ----------------------------------------------------------------------------------------------------

    def add_class(self, name: str) -> None:
        """Let a class exist.

        Raises:
            RSPNetError: no name, one too many, nearly that of another class, or nowhere to keep it.
        """
        name = " ".join(name.split())
        classes = self.read().classes
        if not name:
            raise RSPNetError("type the name of the class first")
        if name in classes:
            raise RSPNetError(f"there is a class {name} already")
        refuse_near_names([*classes, name], source="labels")
        if len(classes) >= MOST_CLASSES:
            raise RSPNetError(f"there are {MOST_CLASSES} classes, one for each of the keys 1 to 9: that is all")
        self._writable().add_class(name)

    def mark(self, path: str, start_s: float, end_s: float, label: str) -> Change:
        """Say that a class holds in a part of a video, in place of what was said of that part.

        The same class again takes it back.

        Raises:
            RSPNetError: the library has no such video, or nowhere to keep labels.
        """
        if path not in self._shown:
            raise RSPNetError("only videos of the library can be labelled")
        old = tuple(self.read().at(path, start_s, end_s))
        new = [] if label in [mark.label for mark in old] else [part(path, label, start_s, end_s)]
        return Change(self._writable().change(new, [mark.id for mark in old]), old)

    def undo(self, change: Change) -> Change:
        """Take a step back; the change that this is."""
        gone = set(change.added)
        removed = tuple(mark for mark in self.read().marks if mark.id in gone)
        return Change(self._writable().change(change.removed, change.added), removed)

    def import_table(self, file: Path) -> tuple[Change, int]:
        """Take in a CSV of labels, or aggregated events of BORIS; the change and how many labels are new.

        A label ends with its video at the latest.

        Raises:
            RSPNetError: it cannot be read, a label is of no video of the library or of no time of it, or there are too
                many classes.
        """
        found = find_paths(read_labels(file), self._shown, root=Path("/"), unknown="it is not in this library")
        now = self.read()
        known = set(now.marks)
        lengths = {row.path: row.duration_s for row in self.library.store.files_of(list(found))}
        marks = [self._mark_of(path, row, lengths[path]) for path, rows in found.items() for row in rows]
        new = [mark for mark in dict.fromkeys(marks) if mark not in known]
        classes = {*now.classes, *(mark.label for mark in new)}
        refuse_near_names(classes, source=repr(str(file)))
        if len(classes) > MOST_CLASSES:
            raise RSPNetError(f"with these labels there would be {len(classes)} classes: at most {MOST_CLASSES}")
        return Change(self._writable().change(new) if new else (), ()), len(new)

    def _mark_of(self, path: str, row: Label, length: float) -> Mark:
        if row.start_s >= length:
            raise RSPNetError(
                f"label {row.label!r} of {self._shown[path]} starts at {row.start_s:g} s: "
                f"the video ends at {length:.2f} s"
            )
        return part(path, row.label, row.start_s, min(row.end_s, length))

    def _writable(self) -> LabelLog:
        if self._log is None:
            raise RSPNetError("there is no place for labels: start rspnet serve with --marks FOLDER")
        return self._log

    # --- learning ---------------------------------------------------------------------------------------------------

    def train(self) -> Judged:
        """Fit a classifier to the labels as they are, and judge every window of the library.

        Raises:
            RSPNetError: too few labels or classes, or scikit-learn is not there.
        """
        require_sklearn("training")
        labels = self.read()
        with self._lock:
            if labels in self._judged:
                self._judged.move_to_end(labels)
                return self._judged[labels]
            videos = self._labelled(labels)
            lost = self.elsewhere()
            if not videos:
                raise RSPNetError(f"{lost or 'there are no labels yet'}: mark some hits with the keys 1 to 9")
            background = any(unlabelled(v.path, v.start_s, v.end_s, labels).any() for v in videos)
            if not background and len({mark.label for mark in labels.marks}) < 2:
                why = f"there is nothing to tell {labels.marks[0].label} from{f' ({lost})' if lost else ''}"
                raise RSPNetError(f"{why}: label a second class, or mark {BACKGROUND}")
            trained = train_classifier(videos, self.stamp, replace(_HOW, background=background))
            judged = self._judge(trained.classifier, labels, trained.fitted.grouped_by)
            self._judged[labels] = judged
            while len(self._judged) > _TRAINED_KEPT:
                self._judged.popitem(last=False)
            return judged

    def _labelled(self, labels: Labels) -> list[LabelledVideo]:
        own: dict[str, list[Label]] = {}
        for mark in labels.marks:
            own.setdefault(mark.path, []).append(Label(mark.path, mark.label, mark.start_s, mark.end_s))
        windows = library_windows(self.library.store, _HOW.vectors, lambda vectors: vectors, only=own.keys())
        return [LabelledVideo(v.path, v.start_s, v.end_s, v.values, as_spans(own[v.path])) for v in windows]

    def _judge(self, classifier: WindowClassifier, labels: Labels, grouped_by: str) -> Judged:
        axes = self._axes
        count = len(classifier.names)

        def both(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
            sketch = unit_rows(np.asarray(vectors, np.float32) @ axes)
            return np.concatenate([classifier.probabilities(vectors).astype(np.float32), sketch], axis=1)

        videos, sketches = {}, {}
        for video in library_windows(self.library.store, classifier.vectors, both):
            if video.path in self._shown:
                chances, sketches[video.path] = video.values[:, :count], video.values[:, count:]
                videos[video.path] = StoredVideo(
                    self._shown[video.path],
                    video.path,
                    video.fps,
                    video.start_s,
                    video.end_s,
                    chances.astype(np.float64),
                )
        return Judged(classifier, labels, grouped_by, videos, sketches)

    @cached_property
    def _axes(self) -> NDArray[np.float32]:
        """A random projection, which keeps distances nearly as they are (Johnson and Lindenstrauss)."""
        width = self.library.store.about.features
        return numpy_rng("sketch", width).standard_normal((width, SKETCH)).astype(np.float32)

    def ranked(self, judged: Judged, label: str, *, k: int, within: Collection[str] | None = None) -> list[ClassHit]:
        """The likeliest moments of a class in the library, or in some of its videos."""
        videos = [video for path, video in judged.videos.items() if within is None or path in within]
        return class_hits(videos, judged.classifier, label, k=k)

    def ask_next(self, judged: Judged, *, k: int, within: Collection[str] | None = None) -> list[ClassHit]:
        """Windows whose labels would tell most: in turn one it is least sure of, and one unlike all labelled."""
        videos: Sequence[StoredVideo] = [
            video for path, video in judged.videos.items() if within is None or path in within
        ]
        return next_to_label(videos, judged.sketches, judged.classifier, self.read(), k=k)
