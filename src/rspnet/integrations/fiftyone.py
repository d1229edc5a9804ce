"""FiftyOne: features and events into a dataset of videos, labels out of it (`pip install fiftyone`)."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rspnet.core.errors import RSPNetError
from rspnet.core.files import atomic_path
from rspnet.features.event_labels import Label, read_labels
from rspnet.features.read import KINDS, read_features
from rspnet.video.reader import open_video

if TYPE_CHECKING:
    import fiftyone


def add_features(
    dataset: fiftyone.Dataset, features: str | Path, *, kind: str = "features", field: str = "rspnet"
) -> int:
    """Give every video of a dataset its vector from what `rspnet embed` wrote.

    A video with several windows gets the mean of their vectors. FiftyOne's brain then works on the field:
    `fiftyone.brain.compute_visualization(dataset, embeddings="rspnet")`, `compute_similarity` likewise.

    Args:
        dataset: of videos; files are identified by their real path.
        features: what `rspnet.read_features` reads.
        kind: "features", "appearance" or "motion".
        field: the dataset's field, a list of float32 numbers.

    Returns:
        How many videos got a vector.

    Raises:
        RSPNetError: there are no features, no vectors of that kind, or none of a video of the dataset.
    """
    if kind not in KINDS:
        raise RSPNetError(f"unknown kind {kind!r}; choose one of {', '.join(KINDS)}")
    found = read_features(features)
    vectors = getattr(found, kind)
    if not vectors.shape[1]:
        raise RSPNetError(f"features {str(features)!r} have no vectors {kind!r}")
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, path in enumerate(found.table["path"].to_pylist()):
        rows[Path(path).resolve()].append(row)
    given = 0
    for sample in dataset.iter_samples(autosave=True):
        if own := rows.get(Path(sample.filepath).resolve()):
            sample[field] = np.mean(vectors[own], axis=0, dtype=np.float32)
            given += 1
    if not given:
        raise RSPNetError(f"features {str(features)!r} have no video of dataset {dataset.name!r}")
    return given


def add_events(dataset: fiftyone.Dataset, events: str | Path, *, field: str = "events") -> int:
    """Give the videos of a dataset the events that `rspnet classify run` found, as temporal detections.

    Args:
        dataset: of videos; files are identified by their real path.
        events: events.csv (columns path, label, start_s, end_s; probability becomes the confidence), or labels.
        field: the dataset's field, `fiftyone.TemporalDetections`.

    Returns:
        How many events were added. A video without events gets an empty list.

    Raises:
        RSPNetError: the table cannot be read, a probability is no number, or no event is of a video of the dataset:
            no video is changed.
        DecodeError: a video cannot be read.
    """
    import fiftyone

    place = Path(events)
    rows: dict[Path, list[tuple[Label, float | None]]] = defaultdict(list)
    for label, probability in zip(read_labels(place), _probabilities(place), strict=True):
        rows[(place.parent / label.path).resolve()].append((label, probability))
    if not any(Path(sample.filepath).resolve() in rows for sample in dataset):
        raise RSPNetError(f"events {str(events)!r} have no video of dataset {dataset.name!r}")
    added = 0
    for sample in dataset.iter_samples(autosave=True):
        detections = []
        with open_video(sample.filepath) as video:
            times = video.times - video.times[0]
            for label, probability in rows.get(Path(sample.filepath).resolve(), []):
                inside = np.flatnonzero((times >= label.start_s - 1e-6) & (times < label.end_s))
                if len(inside):
                    support = [int(inside[0]) + 1, int(inside[-1]) + 1]  # FiftyOne counts frames from 1
                    detections.append(
                        fiftyone.TemporalDetection(label=label.label, support=support, confidence=probability)
                    )
        sample[field] = fiftyone.TemporalDetections(detections=detections)
        added += len(detections)
    return added


def write_labels(dataset: fiftyone.Dataset, file: str | Path, *, field: str) -> int:
    """Write the temporal detections of a dataset as the table of labels that `rspnet classify fit` takes.

    Args:
        dataset: of videos.
        file: path,label,start_s,end_s with full paths; it is replaced.
        field: of `fiftyone.TemporalDetections`, or of one `fiftyone.Classification` a video (labels whole videos).

    Returns:
        How many rows were written.

    Raises:
        DecodeError: a video cannot be read.
    """
    rows: list[list[Any]] = []
    for sample in dataset:
        found = sample[field]
        if found is None:
            continue
        if not hasattr(found, "detections"):
            rows.append([sample.filepath, found.label, "", ""])
            continue
        with open_video(sample.filepath) as video:
            times = video.times - video.times[0]
            ends = np.append(times[1:], times[-1] + 1 / video.fps)
            for event in found.detections:
                first, last = (min(max(number - 1, 0), len(times) - 1) for number in event.support)
                rows.append([sample.filepath, event.label, round(times[first], 6), round(ends[last], 6)])
    with atomic_path(Path(file)) as temporary, temporary.open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([["path", "label", "start_s", "end_s"], *rows])
    return len(rows)


def _probabilities(file: Path) -> list[float | None]:
    found: list[float | None] = []
    with file.open(newline="", encoding="utf-8-sig") as table:
        rows = csv.DictReader(table)
        for row in rows:
            if any(row.values()):
                try:
                    found.append(float(row["probability"]) if row.get("probability") else None)
                except ValueError as error:
                    where = f"events {str(file)!r} line {rows.line_num}"
                    raise RSPNetError(f"{where}: probability {row['probability']!r}: must be a number") from error
    return found
