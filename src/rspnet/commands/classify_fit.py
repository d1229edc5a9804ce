"""`rspnet classify fit`: few labels of moments to a classifier of windows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from rspnet.config.classify import ClassifyFitConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.progress import print_note
from rspnet.core.urls import as_path
from rspnet.features.event_labels import BACKGROUND, Label, as_spans, find_paths, read_hashed_labels
from rspnet.features.linear_probe import require_sklearn
from rspnet.features.read import open_store, stream_videos
from rspnet.features.store import FeatureStore
from rspnet.features.window_classifier import CLASSIFIER
from rspnet.features.window_fit import Fitted, LabelledVideo
from rspnet.features.window_scores import class_scores, segment_scores, too_little
from rspnet.features.window_training import FOLDS, Training, train_classifier
from rspnet.runs.run_folder import open_run_folder, plain, write_result
from rspnet.runs.verdict import Verdict

_SCORES_OF_EVENTS = (
    "f1@0.5 counts an event as found where it and a labelled one share half of the time that they cover together; "
    "edit compares their order alone"
)


def classify_fit(config: ClassifyFitConfig) -> None:
    """Fit, judge by cross-validation, choose how events are made, write the classifier.

    Raises:
        RSPNetError: bad labels, videos without features, too few classes, or no scikit-learn.
    """
    require_sklearn("rspnet classify fit")
    labels, labels_sha256 = read_hashed_labels(as_path(config.labels))
    store = open_store(Path(config.features))
    assert store.stamp is not None
    videos = labelled_videos(store, labels, config)
    how = Training(tuple(config.vectors), config.background, seed=config.seed)
    trained = train_classifier(videos, store.stamp, how)
    fitted, rules = trained.fitted, trained.classifier.rules
    folder = open_run_folder(config.out, config, command="classify fit")
    trained.classifier.save(folder / CLASSIFIER)
    results: dict[str, Any] = {
        "classes": class_scores(fitted, seed=config.seed) if fitted.grouped_by else {},
        "segments": segment_scores(videos, fitted, rules, seed=config.seed) if trained.has_rules else {},
        "rules": {name: vars(rule) for name, rule in zip(fitted.names, rules, strict=True)},
        "notes": _joined(labels, videos) + too_little(videos, fitted),
    }
    settings = {name: value for name, value in plain(config).items() if name not in ("out", "features", "labels")}
    made_of = {
        "folds": FOLDS,
        "labels_sha256": labels_sha256,
        "weights_sha256": store.stamp.weights_sha256,
        "view": dict(store.stamp.view),
        "videos": len(videos),
        "labels": len(labels),
        "grouped_by": fitted.grouped_by,
        "strength": fitted.strength,
        "exclusive": fitted.exclusive,
    }
    write_result(folder, command="classify fit", protocol=settings | made_of, results=results)
    _show(results, fitted, folder)


def _joined(labels: Sequence[Label], videos: Sequence[LabelledVideo]) -> list[str]:
    """A sentence where labels were joined."""
    gone = len(labels) - sum(len(video.labels) for video in videos)
    return [f"{counted(gone, 'label')} joined to others of the same class, whose moments they share"] if gone else []


def labelled_videos(store: FeatureStore, labels: Sequence[Label], config: ClassifyFitConfig) -> list[LabelledVideo]:
    """The videos that have labels, with their vectors.

    Raises:
        RSPNetError: a label's video has no features.
        ConfigError: a label lies behind its video's end.
    """
    known = {
        path: name
        for batch in store.batches(["path", "name"])
        for path, name in zip(batch["path"].to_pylist(), batch["name"].to_pylist(), strict=True)
    }
    of_path = find_paths(labels, known, root=as_path(config.root) if config.root else as_path(config.labels).parent)
    videos = []
    for video in stream_videos(store, config.vectors, lambda vectors: vectors, only=of_path.keys()):
        rows = of_path[video.path]
        for row in rows:
            if row.start_s >= video.end_s[-1]:
                raise ConfigError(f"{row} starts at {row.start_s:g} s: the video ends at {video.end_s[-1]:.2f} s")
        videos.append(LabelledVideo(video.path, video.start_s, video.end_s, video.values, as_spans(rows)))
    return sorted(videos, key=lambda video: video.path)


def _show(results: dict[str, Any], fitted: Fitted, folder: Path) -> None:
    console = PlainConsole(stderr=True)
    table = Table("class", "windows", "precision %", "recall %", "average precision %")
    for name, row in results["classes"].items():
        scores = [_percent(row[kind]) for kind in ("precision", "recall", "average_precision")]
        table.add_row(name, str(row["windows"]), *scores)
    if results["classes"]:
        table.caption = f"cross-validated by {fitted.grouped_by}, 95 % intervals"
        console.print(table)
    if results["segments"]:
        texts = [f"{name} {_percent(value)}" for name, value in results["segments"].items()]
        console.print(f"events: {', '.join(texts)}\n{_SCORES_OF_EVENTS}")
    for note in results["notes"]:
        print_note(console, note)
    if not results["segments"]:
        why = (
            "label parts of videos (start_s, end_s) and add --background"
            if BACKGROUND not in fitted.names
            else "label more moments"
        )
        print_note(console, f"an event starts and ends at a probability of 0.5; to choose this by the labels, {why}")
    console.print(f"classifier: {folder / CLASSIFIER}")
    run = f"rspnet classify run {shlex.quote(str(folder))} VIDEOS --out timeline"
    Verdict((), [(run, "find these moments in other videos")]).print_to(console)


def _percent(score: dict[str, float | None]) -> str:
    value, low, high = (score[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    if low is None or high is None or low == high:  # too few groups to show how it varies
        return f"{100 * value:.0f}"
    return f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})"
