"""`rspnet predict`: the classes of new videos, or of their windows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rspnet.api.labelled_options import read_sections, scoring_view
from rspnet.config.finetune import LabelledClipsConfig, PredictConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import atomic_path, utf8, write_json
from rspnet.data.annotations import VideoRecord, read_videos
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import VideoClips
from rspnet.engine.processes import share_cores
from rspnet.engine.runtime import pick_device, pick_precision
from rspnet.features.timeline import Rule, timeline
from rspnet.features.window_clips import WindowClips
from rspnet.features.windows import ClipSettings
from rspnet.models.layout import channels_last
from rspnet.runs.classifiers import Trained, open_classifier, video_scores, window_scores
from rspnet.runs.run_folder import open_run_folder, write_result
from rspnet.runs.scoring import finetune_stamp
from rspnet.show.timeline.write_timelines import EVENTS, TimelineFiles


def predict(config: PredictConfig) -> None:
    """Print, for every video, its most likely classes with their probabilities; unreadable videos go to stderr.

    With `out` the probabilities of all classes go to a file; with `window_s` those of windows, and events, to a folder.

    Raises:
        RSPNetError: a bad checkpoint, or not one readable video.
    """
    trained = open_classifier(config.weights)
    _, clips = read_sections(trained.config)
    device = pick_device(config.device)
    channels_last(trained.model.to(device))
    records = read_videos(config.videos)
    shape = (3, clips.num_frames, clips.size, clips.size)
    workers = share_cores(trained.model.backbone, shape, device=device, workers=config.num_workers)
    precision = pick_precision(config.precision, device)
    machine: dict[str, Any] = {"device": device, "precision": precision, "num_workers": workers}
    if config.window_s is not None:
        _predict_windows(config, trained, clips, records, machine)
        return
    view = scoring_view(replace(clips, num_clips=config.num_clips or clips.num_clips))
    found: list[tuple[VideoRecord, NDArray[np.float32]]] = []
    for result in video_scores(trained.model, VideoClips(records, view), **machine):
        if isinstance(result, Skip):
            _tell(result)
            continue
        record, scores = result
        best = np.argsort(-scores, kind="stable")[: config.top]
        print(f"{record.name}: " + ", ".join(f"{trained.class_names[c]} {scores[c]:.3f}" for c in best))
        found.append(result)
    if not found:
        raise RSPNetError(f"none of {counted(len(records), 'video')} could be read")
    if config.out is not None:
        _write(Path(config.out), found, trained.class_names)


def _predict_windows(
    config: PredictConfig,
    trained: Trained,
    clips: LabelledClipsConfig,
    records: Sequence[VideoRecord],
    machine: dict[str, Any],
) -> None:
    """Probabilities of windows and events (a class from one half on), as `rspnet classify run` leaves them."""
    assert config.window_s is not None
    assert config.out is not None
    if clips.spread:
        raise RSPNetError("--window_s: this network looks at frames spread over whole videos, not at windows")
    folder = open_run_folder(config.out, config, command="predict")
    hop = config.window_s / 2 if config.hop_s is None else config.hop_s
    settings = ClipSettings(config.window_s, hop, 1, clips.num_frames, clips.stride, clips.size, clips.fps)
    names, skipped = trained.class_names, 0
    with TimelineFiles(folder, names, title=f"Events of {', '.join(config.videos[:3])}") as files:
        for video in window_scores(trained.model, VideoClips(records, WindowClips(settings)), **machine):
            if isinstance(video, Skip):
                _tell(video)
                skipped += 1
                continue
            rules = [Rule() for _ in names]
            files.add(video, video.values, timeline(names, video.start_s, video.end_s, video.values, rules))
        if not files.videos:
            raise RSPNetError(f"none of {counted(len(records), 'video')} could be read")
    events = sum(len(video.events) for video in files.videos)
    view = scoring_view(replace(clips, num_clips=1, num_crops=1))
    stamp = finetune_stamp(trained, view, precision=machine["precision"])
    write_result(
        folder,
        command="predict",
        protocol=stamp | {"window_s": config.window_s, "hop_s": hop},
        results={"videos": len(files.videos), "windows": files.windows, "events": events, "skipped": skipped},
    )
    PlainConsole(stderr=True).print(
        f"{counted(len(files.videos), 'video')}, {counted(events, 'event')}: {folder / EVENTS}"
    )


def _tell(skip: Skip) -> None:
    print(f"{skip.name}: cannot be read: {skip.reason}", file=sys.stderr)


def _write(path: Path, found: Sequence[tuple[VideoRecord, NDArray[np.float32]]], names: Sequence[str]) -> None:
    """One row a video: name, path, its class, and the probability p_CLASS of every class."""
    scores = np.stack([row for _, row in found])
    columns: dict[str, Any] = {
        "name": [utf8(record.name) for record, _ in found],
        "path": [utf8(str(record.path.absolute())) for record, _ in found],
        "class": [names[best] for best in scores.argmax(axis=1)],
        **{f"p_{name}": scores[:, number] for number, name in enumerate(names)},
    }
    table = pa.table(columns)
    if path.suffix == ".json":
        write_json(path, table.to_pylist())
        return
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            pq.write_table(table, temporary)
