"""Scores of a classifier on labelled videos: the view they are taken under, their stamp, and their files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.weights_files import weights_file
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import EvenClips
from rspnet.data.skipped import Skip, SkipLog
from rspnet.features.labelled_features import tensors_sha256
from rspnet.runs.classifiers import Trained
from rspnet.runs.predictions import CONFUSION, Predictions, as_results, draw_confusion, save_predictions
from rspnet.runs.run_folder import write_result
from rspnet.runs.verdict import Verdict, report_command, score_line

SKIPPED_TEST = "skipped_test.csv"


NOT_OF_THE_WEIGHTS = ("num_workers", "max_skipped", "num_clips", "num_crops", "test_clips", "test_crops")
"""Options of the section `clips` that trained weights do not depend on."""


def finetune_stamp(trained: Trained, view: EvenClips, *, precision: str) -> dict[str, Any]:
    """What a result says of a fine-tuned classifier and of the view it was tested under."""
    config, shape = trained.config, view.shape
    return {
        "method": "finetune",
        "selection": config["protocol"],
        "backbone": trained.model.backbone.name,
        "input": trained.model.backbone.input,
        "num_frames": shape.num_frames,
        "stride": shape.stride_frames,
        "fps": shape.fps,
        "spread": shape.spread,
        "size": shape.size,
        "num_clips": view.num_clips,
        "num_crops": view.num_crops,
        "precision": precision,
        "tensors_sha256": tensors_sha256(trained.model),
        "init_sha256": trained.init_sha256,
        "seed": config["seed"],
        "training": {name: config[name] for name in ("model", "optim", "epochs", "max_steps")}
        | {"clips": {name: value for name, value in config["clips"].items() if name not in NOT_OF_THE_WEIGHTS}},
    }


def write_scores(
    folder: Path,
    scored: tuple[Sequence[VideoRecord], NDArray[np.float32], Sequence[Skip]],
    *,
    class_names: Sequence[str],
    chance: float,
    protocol: dict[str, Any],
    command: str,
    extra: Mapping[str, Any],
) -> None:
    """Write predictions, confusion matrix and result.json, and show the scores.

    Raises:
        RSPNetError: not one test video could be read.
    """
    trained = _name_of(Path(str(extra["checkpoint"]))) if command == "evaluate" else folder
    records, scores, skipped = scored
    total = len(records) + len(skipped)
    if skipped:
        SkipLog(folder / SKIPPED_TEST, num_videos=total).add(skipped)
    if not records:
        raise RSPNetError(f"none of {counted(total, 'test video')} could be read: see {str(folder / SKIPPED_TEST)!r}")
    predictions = Predictions(records, scores, class_names)
    table = predictions.table(seed=protocol["seed"])
    results = {
        "scores": as_results(table),
        "classes": len(class_names),
        "chance": chance,
        "predictions": save_predictions(folder, predictions.columns()),
        "skipped_test_videos": len(skipped),
        **extra,
    }
    shows = "confusions, worst videos"
    report = report_command(folder, shows=shows if command == "evaluate" else f"curves, {shows}")
    verdict = Verdict(
        [score_line("top-1", table["top1"], chance=chance, videos=len(records))],
        [report, (f"rspnet predict VIDEOS --weights {shlex.quote(str(trained))}", "name new videos")],
    )
    draw_confusion(folder / CONFUSION, predictions.confusion(), class_names)
    write_result(folder, command=command, protocol=protocol, results=results, ending=verdict.as_ending())
    shown = Table(
        "", "score %", "95 % interval", title=f"{counted(len(records), 'test video')}, {protocol['selection']} epoch"
    )
    for name, row in table.items():
        shown.add_row(name, f"{100 * row.value:.1f}", f"{100 * row.low:.1f} to {100 * row.high:.1f}")
    console = PlainConsole(stderr=True)
    console.print(shown)
    console.print(f"{len(skipped)} skipped; details: {folder}")
    verdict.print_to(console)


def _name_of(file: Path) -> Path:
    """What names the weights in a file: its folder where that stands for them, else the file itself."""
    return file.parent if weights_file(file.parent) == file else file
