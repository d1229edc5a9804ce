"""`rspnet probe`: how good are frozen features for recognition, with all labels and with few?"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from rspnet.api.labelled_options import classes_of, labelled_records
from rspnet.api.open_embedder import open_embedder
from rspnet.config.probe import ProbeConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.files import atomic_path
from rspnet.core.progress import print_note, track
from rspnet.core.ranks import rank
from rspnet.core.weights_files import outside_place
from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.cautions import cautions
from rspnet.data.labelled.groups import groups_of
from rspnet.data.skipped import SKIPPED, SkipLog
from rspnet.engine.processes import join_ranks
from rspnet.engine.runtime import pick_device
from rspnet.features.embedder import Embedder
from rspnet.features.feature_cache import default_cache_folder
from rspnet.features.labelled_features import FeatureMaker, embedder_view
from rspnet.features.linear_probe import FewLabels, few_label_point, fit_linear, nearest_scores, require_sklearn
from rspnet.features.whitening import comparable, comparison
from rspnet.pretext.create import fresh_twin
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.predictions import (
    CONFUSION,
    Predictions,
    as_results,
    data_stamp,
    draw_confusion,
    labels_of,
    save_predictions,
)
from rspnet.runs.run_folder import CONFIG, open_run_folder, write_result
from rspnet.runs.verdict import Verdict, report_command, score_line

CURVE = "few_labels.png"
FOLDS, DRAWS = 5, 5
"""Folds of the cross-validation that chooses the linear classifier; draws of the labelled videos for every point."""
NEIGHBOURS, TEMPERATURE = 20, 0.07
"""Training videos that vote for a test video, and the temperature t: each votes with exp(cosine / t)."""


def probe(config: ProbeConfig) -> None:
    """Run the command: features, classifiers, curves, result.json.

    Raises:
        RSPNetError: bad data or checkpoint, a split without one readable video, or no scikit-learn.
    """
    require_sklearn()
    join_ranks(pick_device(config.device))
    train, test = (labelled_records(config.data, split) for split in ("train", "test"))
    names = classes_of(config.data, train, test)
    embedder = make_embedder(config)
    log = SkipLog(Path(config.out) / SKIPPED, num_videos=len(train) + len(test))
    cache = Path(config.cache) if config.cache else default_cache_folder()
    maker = FeatureMaker(embedder, cache_folder=cache, log=log)
    if config.dry_run:
        _preview(config, maker, train, test)
        return
    folder = open_run_folder(config.out, config, command="probe")
    train, x = maker.vectors(train, what="training videos")
    test, y = maker.vectors(test, what="test videos")
    if rank() > 0:
        return
    for caution in cautions(train, test):
        print_note(PlainConsole(stderr=True), caution)
    labels, test_labels = labels_of(train), labels_of(test)
    linear = fit_linear(x, labels, y, num_classes=len(names), folds=FOLDS, seed=config.seed, groups=groups_of(train))
    near, asked = comparable(x, y, embedder.descriptor)
    votes = nearest_scores(near, labels, asked, num_classes=len(names), neighbours=NEIGHBOURS, temperature=TEMPERATURE)
    found = {"linear": Predictions(test, linear.scores, names), "knn": Predictions(test, votes, names)}
    counts = [count for count in config.few_labels if _is_drawn(count, labels)]
    points = [
        few_label_point(x, labels, y, test_labels, count=count, draws=DRAWS, seed=config.seed)
        for count in track(counts, total=len(counts), what="few-label points")
    ]
    stamp = embedder_view(embedder) | data_stamp(asdict(config.data), train=len(train), test=len(test))
    stamp |= {"tensors_sha256": maker.tensors_sha256, "random_init": config.random_init, "seed": config.seed}
    stamp |= {"folds": FOLDS, "neighbours": NEIGHBOURS, "temperature": TEMPERATURE}
    stamp |= {"linear_classifier": "ridge or logistic", "comparison": comparison(embedder.descriptor)}
    results: dict[str, Any] = {
        "scores": {name: row for kind, part in found.items() for name, row in _scores(kind, part, config.seed).items()},
        "linear": {
            "classifier": linear.classifier,
            {"ridge": "penalty", "logistic": "C"}[linear.classifier]: linear.strength,
            "cross_validated_top1": linear.cross_validated,
        },
        "few_labels": {str(point.count): asdict(point) for point in points},
        "few_labels_left_out": [count for count in config.few_labels if count not in counts],
        "skipped": len(log),
        "predictions": save_predictions(folder, _columns(found)),
    }
    draw_confusion(folder / CONFUSION, found["linear"].confusion(), names)
    if points:
        draw_curve(folder / CURVE, points, all_labels=results["scores"]["linear_top1"]["value"])
    verdict = _verdict(config, results, folder, chance=1 / len(np.unique(labels)), videos=len(test))
    write_result(folder, command="probe", protocol=stamp, results=results, ending=verdict.as_ending())
    _show(results, folder)
    verdict.print_to(PlainConsole(stderr=True))


def _is_drawn(count: int, labels: NDArray[np.int64]) -> bool:
    """Whether every class has so many videos, and some class more: else all draws are one."""
    sizes = np.unique(labels, return_counts=True)[1]
    return bool(sizes.min() >= count and sizes.max() > count)


def _preview(config: ProbeConfig, maker: FeatureMaker, train: list[VideoRecord], test: list[VideoRecord]) -> None:
    """What a run would do and what its features cost; the classifiers are quick beside them."""
    labels = labels_of(train)
    console = PlainConsole(quiet=rank() > 0)
    said = [
        f"features of {len(train)} training and {counted(len(test), 'test video')}: {maker.foretell([*train, *test])}"
    ]
    counts = [count for count in config.few_labels if _is_drawn(count, labels)]
    said.append(f"then a linear classifier, nearest neighbours, few labels {counts} a class; results: {config.out}")
    said += _left_out(count for count in config.few_labels if count not in counts)
    for line in said:
        console.print(line)


def _left_out(counts: Iterable[int]) -> list[str]:
    """Which points of the few-label curve are left out."""
    why = "the smallest class has fewer, or none has more"
    return [f"left out: {counted(count, 'label')} a class ({why})" for count in counts]


def _verdict(config: ProbeConfig, results: Mapping[str, Any], folder: Path, *, chance: float, videos: int) -> Verdict:
    top1 = results["scores"]["linear_top1"]
    lines = [score_line("linear classifier, top-1", top1, chance=chance, videos=videos)]
    report = report_command(folder, shows="nearest neighbours, confusions")
    if config.random_init or outside_place(config.weights) is not None:  # only networks of ours get fresh weights
        return Verdict(lines, [report])
    control = f"rspnet probe --config {shlex.quote(str(folder / CONFIG))} --random_init"
    control += f" --out {shlex.quote(config.out + '-random')}"
    return Verdict(lines, [report, (control, "what an untrained network reaches")])


def make_embedder(config: ProbeConfig) -> Embedder:
    """The checkpoint's network, or with `random_init` its twin with fresh weights from the seed."""
    model = load_pretrained(config.weights)
    if config.random_init:
        model = fresh_twin(model, seed=config.seed)
    return open_embedder(model, config, pooling=config.pooling, stream=config.stream, descriptor=config.descriptor)


def draw_curve(path: Path, points: Sequence[FewLabels], *, all_labels: float) -> None:
    """Plot top-1 over labels per class, with intervals, and the score with all labels as a line."""
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    counts = [point.count for point in points]
    means = np.array([point.mean for point in points])
    spread = np.abs(np.array([[point.low for point in points], [point.high for point in points]]) - means)
    axes.errorbar(counts, means, yerr=spread, marker="o", capsize=3, label="mean and 95 % interval over draws")
    axes.axhline(all_labels, linestyle="--", color="grey", label="all labels")
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("labelled videos per class")
    axes.set_ylabel("top-1")
    axes.set_ylim(0, 1)
    axes.legend()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=120)


def _scores(kind: str, predictions: Predictions, seed: int) -> dict[str, dict[str, float]]:
    return as_results(predictions.table(seed=seed), prefix=f"{kind}_")


def _columns(found: dict[str, Predictions]) -> dict[str, Any]:
    """Predictions of the linear classifier, and the hits of every classifier under the names of their scores."""
    columns = found["linear"].columns()
    hits = {f"{kind}_{name}": hit for kind, part in found.items() for name, hit in part.hits().items()}
    return {name: value for name, value in columns.items() if name not in ("top1", "top5")} | hits


def _show(results: dict[str, Any], folder: Path) -> None:
    table = Table("", "score %", "95 % interval")
    rows = results["scores"] | {
        f"{counted(int(count), 'label')} a class": {"value": point["mean"], "low": point["low"], "high": point["high"]}
        for count, point in results["few_labels"].items()
    }
    for name, row in rows.items():
        table.add_row(name, f"{100 * row['value']:.1f}", f"{100 * row['low']:.1f} to {100 * row['high']:.1f}")
    console = PlainConsole(stderr=True)
    console.print(table)
    for line in _left_out(results["few_labels_left_out"]):
        console.print(line)
    console.print(f"{results['skipped']} skipped; details: {folder}")
