"""`rspnet predict`: the classes of new videos."""

from __future__ import annotations

import sys

import numpy as np
import torch

from rspnet.config.finetune import PredictConfig
from rspnet.core.errors import RSPNetError
from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.cuts import EvenClips
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import VideoClips
from rspnet.engine.runtime import pick_device, pick_precision, pick_workers
from rspnet.runs.classifiers import open_classifier, video_scores
from rspnet.runs.scoring import read_sections, scoring_view


def predict(config: PredictConfig) -> None:
    """Print, for every video, its most likely classes with their probabilities; unreadable videos go to stderr.

    Raises:
        RSPNetError: a bad checkpoint, or not one readable video.
    """
    trained = open_classifier(config.model)
    _, clips = read_sections(trained.config)
    device = pick_device(config.device)
    model = trained.model.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    records = [
        record
        for video in config.videos
        for record in (read_folder(video) if as_path(video).is_dir() else [VideoRecord(as_path(video), video)])
    ]
    view = scoring_view(clips) | ({"num_clips": config.test_clips} if config.test_clips else {})
    found = video_scores(
        model,
        VideoClips(records, EvenClips(**view)),
        device=device,
        precision=pick_precision(config.precision, device),
        num_workers=pick_workers(config.num_workers),
    )
    readable = 0
    for result in found:
        if isinstance(result, Skip):
            print(f"{result.name}: cannot be read: {result.reason}", file=sys.stderr)
            continue
        readable += 1
        record, scores = result
        best = np.argsort(-scores, kind="stable")[: config.top]
        print(f"{record.name}: " + ", ".join(f"{trained.class_names[c]} {scores[c]:.3f}" for c in best))
    if not readable:
        raise RSPNetError(f"none of {len(records)} videos could be read")
