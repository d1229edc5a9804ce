"""`rspnet predict`: the classes of new videos."""

from __future__ import annotations

import sys

import numpy as np
import torch

from rspnet.config.finetune import PredictConfig
from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import read_videos
from rspnet.data.cuts import EvenClips
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import VideoClips
from rspnet.engine.launch import share_cores
from rspnet.engine.runtime import pick_device, pick_precision
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
    records = read_videos(config.videos)
    shape = (3, clips.num_frames, clips.size, clips.size)
    workers = share_cores(trained.model.backbone, shape, device=device, workers=config.num_workers)
    view = scoring_view(clips) | ({"num_clips": config.test_clips} if config.test_clips else {})
    found = video_scores(
        model,
        VideoClips(records, EvenClips(**view)),
        device=device,
        precision=pick_precision(config.precision, device),
        num_workers=workers,
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
