"""What a pre-training's network saw: the first clips of the run, made by its own data path from its own seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import find_videos
from rspnet.data.augment import denormalise
from rspnet.data.batches import make_views, stack_pairs
from rspnet.data.clip_tasks import SpeedPairs
from rspnet.data.datasets import NoSample
from rspnet.data.sampler import PairSampler
from rspnet.runs.pretraining_data import PretrainingClips, pair_dataset
from rspnet.show.report.report_page import Film, Films, Section, Text
from rspnet.show.report.run_facts import RunFacts

TITLE = "What the network saw"
_SHOWN_RATE = 8.0
"""Frames a second that the players show."""


@dataclass(frozen=True)
class SeenSample:
    """The three clips of one sample, normalised and augmented [3, T, S, S], as the network gets them.

    Attributes:
        name: the video.
        speed: of query and same-speed key.
        other_speed: of the other-speed key.
        views: query, same-speed key, other-speed key by name.
    """

    name: str
    speed: int
    other_speed: int
    views: Mapping[str, Tensor]


def samples_section(run: RunFacts) -> Section:
    """The first sample of the run at each speed, as films and strips."""
    if run.command != "pretrain":
        return Section(TITLE, note="Only a pre-training has query and key clips; this run is none.")
    try:
        data = run.options("data")
        method = run.method()
        if not isinstance(method.clips(PretrainingClips.of(data).played), SpeedPairs):
            return Section(TITLE, note=f"Method {method.method} has no query and key clips of two speeds.")
        samples = first_samples(data, seed=int(run.config["seed"]))
    except RSPNetError as error:
        return Section(TITLE, note=f"The samples could not be made again: {error}")
    clips = PretrainingClips.of(data)
    noise = f", noise of {clips.noise_std:g}" if clips.noise_std else ""
    text = (
        f"From the run's first batch, made again from its seed ({run.config['seed']}): crop, flip and colours of the "
        f"preset {clips.augmentation!r}{noise}, {clips.num_frames} frames of {clips.size} x {clips.size} pixels. RSP "
        "asks which of the two keys plays at the query's speed; A-VID takes both keys for the query's video."
    )
    as_differences = run.config.get("model", {}).get("input") not in (None, "rgb")
    return Section(TITLE, [Text(text), *(_films(sample, as_differences) for sample in samples)])


def first_samples(data: Mapping[str, Any], *, seed: int) -> list[SeenSample]:
    """The first sample of the first batch at the base speed, and the first at another speed.

    Args:
        data: the section of these options of a pre-training.
        seed: of the run.

    Raises:
        RSPNetError: the videos are not there any more.
    """
    records, clips = find_videos(data.get("root"), data.get("list")), PretrainingClips.of(data)
    visits = int(data.get("clips_per_video", 1))
    dataset = pair_dataset(clips, records, seed=seed)
    sampler = PairSampler(
        len(records),
        batch_size=min(int(data.get("batch_size", 64)), len(records) * visits),
        seed=seed,
        speeds=clips.speeds,
        base_speed=clips.base_speed,
        total_steps=1,
        clips_per_video=visits,
    )
    batch = next(iter(sampler))
    firsts = {request.speed: request for request in reversed(batch)}
    found = []
    for speed, request in sorted(firsts.items()):
        sample = dataset.sample(request, {})
        if isinstance(sample, NoSample):
            raise RSPNetError(f"{sample.skipped[-1].name}: {sample.skipped[-1].reason}")
        views = (view[0] for view in make_views(stack_pairs([sample]), noise_std=clips.noise_std))
        names = ("query", "same-speed key", "other-speed key")
        name = records[sample.index].name
        found.append(SeenSample(name, speed, request.other_speed, dict(zip(names, views, strict=True))))
    return found


def difference_frames(views: Mapping[str, Tensor]) -> dict[str, NDArray[np.uint8]]:
    """Differences of consecutive frames [T-1, S, S, 3] of clips, around grey, on one scale for all of them."""
    changes = {name: (view[:, 1:] - view[:, :-1]).permute(1, 2, 3, 0).float().numpy() for name, view in views.items()}
    scale = max(float(np.percentile(np.abs(np.stack(list(changes.values()))), 99.5)), 1e-6)
    return {
        name: np.asarray(np.clip(127.5 + 127.5 * change / scale, 0, 255).round(), np.uint8)
        for name, change in changes.items()
    }


def _films(sample: SeenSample, as_differences: bool) -> Films:
    speeds = dict(zip(sample.views, (sample.speed, sample.speed, sample.other_speed), strict=True))
    films = []
    for name, view in sample.views.items():
        films.append(_film(denormalise(view[None])[0], (name, f"speed {speeds[name]}")))
    if as_differences:
        for name, frames in difference_frames(sample.views).items():
            films.append(_film(frames, (name, "its differences, which the network sees")))
    return Films(f"{sample.name}: query at speed {sample.speed}", films)


def _film(frames: NDArray[np.uint8], caption: tuple[str, ...]) -> Film:
    return Film(frames, len(frames) / _SHOWN_RATE, caption, exact=True)
