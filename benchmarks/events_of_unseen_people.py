"""Figures of docs/evidence.md: events in long videos of unseen people, from four labelled examples a class of others.

    python benchmarks/events_of_unseen_people.py --data SHARED/data/real/utd-mhad --out figures.json

The clips of each person are joined, in a drawn order, to one long video. One person after the other is left out; of
the others four are drawn, one example a class each, and a classifier of windows is fitted to them as `rspnet classify
fit` does (regularisation, calibration and the rules of the events by cross-validation over people). Its events in the
left-out person's video are counted against where the clips were joined. All spaces see the same windows, labels and
draws; motion energy is the mean absolute difference of 24 x 24 grey pictures in three stretches of the window.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.cli import main as rspnet
from rspnet.core.rng import numpy_rng
from rspnet.data.augment import centre_square
from rspnet.features.event_labels import Label
from rspnet.features.read import FeatureTable, read_features
from rspnet.features.timeline import Event, timeline
from rspnet.features.timeline_scores import OVERLAPS, Counts, edit_score, interval_over_groups, segment_counts
from rspnet.features.window_classifier import chances
from rspnet.features.window_fit import LabelledVideo, choose_rules, fit_windows
from rspnet.lab.study.judged import energy_of
from rspnet.video.reader import View, open_video
from rspnet.video.writer import write_video

FPS = 15.0
EXAMPLES = 4
# Windows: name, then options of `rspnet embed`.
VIEWS = {
    "2 s": ("--window_s=2", "--hop_s=0.25"),
    "1 s": ("--window_s=1", "--hop_s=0.25", "--stride=1"),
    "2 s, mean_std of 4": ("--window_s=2", "--hop_s=0.25", "--clips=4", "--descriptor=mean_std", "--stride=1"),
}
SPACES = {"features": ("features",), "motion": ("motion",), "features and motion": ("features", "motion")}


@dataclass(frozen=True)
class Person:
    """A long video: windows of n frames' worth, and where what was joined."""

    name: str
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    events: Sequence[Event]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--model", default="rspnet-small")
    parser.add_argument("--draws", type=int, default=3, help="of the four people and their examples, for each fold")
    parser.add_argument("--views", nargs="+", default=list(VIEWS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = json.loads(options.out.read_text()) if options.out.exists() else {}
    with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as name:
        folder = Path(name)
        events = join_people(options.data, folder / "videos")
        for view in options.views:
            words = ["embed", options.model, str(folder / "videos"), f"--out={folder / view}", *VIEWS[view]]
            assert rspnet([*words, "--num_workers=0", "--precision=fp32"]) == 0
            found = read_features(folder / view)
            spaces = {
                name: np.concatenate([getattr(found, k) for k in kinds], axis=1) for name, kinds in SPACES.items()
            }
            spaces["motion energy"] = energies(found)
            for space, vectors in spaces.items():
                figures[f"{view} {space}"] = judged(people(found, events), vectors, found, draws=options.draws)
                print(view, space, figures[f"{view} {space}"], flush=True)
                options.out.write_text(json.dumps(figures, indent=1))


def join_people(data: Path, target: Path) -> dict[str, list[Event]]:
    """Write a long video for each person; the events in it by its name. No two neighbours are of one class."""
    rows = list(csv.DictReader((data / "clips.csv").open()))
    target.mkdir()
    events: dict[str, list[Event]] = {}
    for person in sorted({row["group"] for row in rows}):
        frames: list[NDArray[np.uint8]] = []
        events[person] = []
        for row in shuffled([row for row in rows if row["group"] == person], person):
            with open_video(data / row["path"]) as video:
                start = len(frames)
                frames.extend(video.frames_at(list(range(len(video)))))
            events[person].append(Event(row["label"], start / FPS, len(frames) / FPS))
        write_video(target / f"{person}.mp4", frames, fps=FPS)
    return events


def shuffled(rows: list[dict[str, str]], person: str) -> list[dict[str, str]]:
    """A drawn order in which neighbours differ in class."""
    rng = numpy_rng("join", person)
    while True:
        order = [rows[place] for place in rng.permutation(len(rows))]
        if all(one["label"] != other["label"] for one, other in pairwise(order)):
            return order


def energies(found: FeatureTable) -> NDArray[np.float32]:
    """Motion energy of every window: [N, 3 * 24 * 24]."""
    rows, pictures = [], {}
    for row in found.table.select(["path", "start_s", "end_s"]).to_pylist():
        if row["path"] not in pictures:
            with open_video(Path(row["path"])) as video:
                box = centre_square(video.height, video.width)
                (frames,) = video.read_views([View(list(range(len(video))), box=box, size=(24, 24))])
            pictures[row["path"]] = frames
        first, last = round(row["start_s"] * FPS), round(row["end_s"] * FPS)
        window = pictures[row["path"]][first : max(last, first + 4)]
        rows.append(energy_of(window if len(window) >= 4 else pictures[row["path"]][-4:]))
    return np.stack(rows)


def people(found: FeatureTable, events: dict[str, list[Event]]) -> list[tuple[Person, NDArray[np.int64]]]:
    """Every person with the rows of their windows."""
    names = np.array([Path(path).stem for path in found.table["path"].to_pylist()])
    start, end = (found.table[column].to_numpy() for column in ("start_s", "end_s"))
    places = {name: np.flatnonzero(names == name) for name in events}
    return [(Person(name, start[rows], end[rows], events[name]), rows) for name, rows in places.items()]


def judged(
    everyone: list[tuple[Person, NDArray[np.int64]]], vectors: NDArray[np.floating], found: FeatureTable, *, draws: int
) -> dict[str, object]:
    """F1 of the events and their edit score over all folds and draws, with 95 % intervals over the left-out people."""
    counts: dict[float, list[Counts]] = {overlap: [] for overlap in OVERLAPS}
    edits, groups = [], []
    for place, (person, rows) in enumerate(everyone):
        others = [item for number, item in enumerate(everyone) if number != place]
        for draw in range(draws):
            rng = numpy_rng("examples", place, draw)
            teachers = [others[number] for number in rng.permutation(len(others))[:EXAMPLES]]
            labelled = [examples(teacher, vectors[own], rng) for teacher, own in teachers]
            events = fitted_events(labelled, person, vectors[rows])
            for overlap in OVERLAPS:
                counts[overlap].append(segment_counts(events, person.events, overlap))
            edits.append(edit_score(events, person.events))
            groups.append(person.name)
    result: dict[str, object] = {"vectors": int(vectors.shape[1]), "windows": len(found)}
    for overlap, values in counts.items():
        low, high = interval_over_groups(lambda at, own=values: _f1(own, at), groups, seed=0)
        result[f"f1@{overlap}"] = [round(100 * value, 1) for value in (_f1(values, range(len(values))), low, high)]
    result["edit"] = round(100 * float(np.mean(edits)), 1)
    result["f1@0.25 of people"] = {
        name: round(100 * _f1(counts[0.25], [n for n, group in enumerate(groups) if group == name]), 1)
        for name in dict.fromkeys(groups)
    }
    return result


def _f1(counts: Sequence[Counts], places: Sequence[int] | NDArray[np.int64]) -> float:
    return sum((counts[place] for place in places), start=Counts(0, 0, 0)).f1


def examples(person: Person, vectors: NDArray[np.floating], rng: np.random.Generator) -> LabelledVideo:
    """A drawn example of each class of a person, as a video that holds nothing else."""
    chosen: list[Event] = []
    for label in sorted({event.label for event in person.events}):
        own = [event for event in person.events if event.label == label]
        chosen.append(own[int(rng.integers(len(own)))])
    middle = (person.start_s + person.end_s) / 2
    inside = np.zeros(len(middle), bool)
    for event in chosen:
        inside |= (middle >= event.start_s) & (middle < event.end_s)
    labels = [Label(person.name, event.label, event.start_s, event.end_s) for event in chosen]
    return LabelledVideo(person.name, person.start_s[inside], person.end_s[inside], vectors[inside], labels)


def fitted_events(labelled: list[LabelledVideo], person: Person, vectors: NDArray[np.floating]) -> list[Event]:
    """What a classifier fitted to the examples finds in a video."""
    fitted = fit_windows(labelled, background=False, folds=5, seed=0)
    rules = choose_rules(labelled, fitted.names, fitted.held_out)
    found = chances(vectors.astype(np.float64) @ fitted.weights.T + fitted.bias, exclusive=fitted.exclusive)
    return timeline(fitted.names, person.start_s, person.end_s, found, rules)


if __name__ == "__main__":
    main()
