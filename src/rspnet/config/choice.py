"""The settings of a pre-training that nobody chose: from the number and length of the videos, and from the machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import yaml

from rspnet.config.pretrain import all_data_options
from rspnet.core.counts import counted
from rspnet.pretext.rspnet_method import RSPNetMethod
from rspnet.recipes import recipe_path

SMALL, PUBLISHED = "pretrain/small-cpu", "pretrain/k400-r3d_18"
MANY_VIDEOS = 10_000
"""From so many on the published network is trained, where there is a GPU."""
PUBLISHED_BATCH = 64
"""Clips a GPU of the published recipe, which names the batch of four."""
FEWEST_STEPS, MOST_STEPS_CPU, MOST_STEPS_GPU = 500, 3_000, 20_000
"""Bounds on the steps of the small network."""
FEWEST_EPOCH_STEPS = 20
"""A checkpoint is written at the end of an epoch: not more often than this."""
FEWEST_FRAMES = 4
JUDGED_FROM, JUDGED_SHARE, MOST_JUDGED = 100, 10, 100
"""From so many videos on one in ten is held out to judge the run by, at most a hundred."""
FEW_VIDEOS, SKIPPED_OF_FEW = 1_000, 0.2
"""Of fewer videos, such a share may be skipped: a handful of bad files is no sign that the disk is gone."""


@dataclass(frozen=True)
class Circumstances:
    """What there is to learn from, and on.

    Attributes:
        num_videos: number of videos, at least 1.
        frames: nine of ten videos have so many frames or more; None where no length could be read.
        device: where the training will run.
        adapts: weights that come with the package are trained further, for which there is one recipe.
    """

    num_videos: int
    frames: int | None
    device: Literal["cpu", "cuda"]
    adapts: bool = False


@dataclass(frozen=True)
class Choice:
    """Settings of `rspnet pretrain`.

    Attributes:
        recipe: ready-made settings.
        changes: nested options in place of the recipe's.
        reasons: name of a choice -> what was chosen, and why.
    """

    recipe: str
    changes: Mapping[str, Any]
    reasons: Mapping[str, str]

    def options(self) -> dict[str, Any]:
        """The recipe with the changes, as nested options."""
        result = _read(self.recipe)
        for name, value in self.changes.items():
            result[name] = {**result.get(name, {}), **value} if isinstance(value, Mapping) else value
        return result

    def without(self, option: str, reason: str) -> Choice:
        """The choice where an option is given: neither it nor its reason is to be printed."""
        section, _, name = option.rpartition(".")
        changes = dict(self.changes)
        if section:
            changes[section] = {key: value for key, value in changes.get(section, {}).items() if key != name}
        changes.pop("" if section else name, None)
        reasons = {key: value for key, value in self.reasons.items() if key != reason}
        return Choice(self.recipe, {key: value for key, value in changes.items() if value != {}}, reasons)

    def words(self) -> str:
        """The options of the command line that ask for the same."""
        parts = [f"--recipe {self.recipe}"]
        for name, value in self.changes.items():
            pairs = [(f"{name}.{k}", v) for k, v in value.items()] if isinstance(value, Mapping) else [(name, value)]
            parts += [f"--{option} {chosen}" for option, chosen in pairs]
        return " ".join(parts)


def choose_settings(found: Circumstances) -> Choice:
    """Recipe, length of the clips, batch, queue and steps for some videos on some machine; a pure function."""
    published = found.device == "cuda" and found.num_videos >= MANY_VIDEOS and not found.adapts
    recipe = PUBLISHED if published else SMALL
    settings = _read(recipe)
    usual = all_data_options(settings["data"])
    held = min(MOST_JUDGED, found.num_videos // JUDGED_SHARE) if found.num_videos >= JUDGED_FROM else 0
    few = found.num_videos < FEW_VIDEOS
    found = replace(found, num_videos=found.num_videos - held)
    batch, why_batch = _batch(found, PUBLISHED_BATCH if published else usual["batch_size"])
    queue, why_queue = _queue(found, settings["model"].get("queue_size", RSPNetMethod.queue_size))
    clip, why_clip = _clip(found, usual)
    steps, why_steps = _steps(found, batch, epochs=int(settings["epochs"]), published=published)
    visits = max(1, math.ceil(FEWEST_EPOCH_STEPS * batch / found.num_videos))
    data = {"num_frames": clip.frames, "base_speed": clip.slow, "speeds": [clip.fast]}
    data |= {"batch_size": batch, "clips_per_video": visits, "held_out": held}
    data |= {"max_skipped": SKIPPED_OF_FEW} if few else {}
    changes: dict[str, Any] = {"data": {name: value for name, value in data.items() if value != usual[name]}}
    changes |= {"model": {"queue_size": queue}, "max_steps": steps}
    reasons = {"recipe": _why_recipe(found, recipe), "clip": why_clip, "batch": why_batch}
    reasons |= {"queue": why_queue, "steps": why_steps}
    reasons["held out"] = (
        f"{counted(held, 'video')}, which are not trained on, judge the run at its end"
        if held
        else f"no video: with fewer than {JUDGED_FROM} all are needed to learn from"
    )
    if few:
        reasons["skipped"] = (
            f"up to {SKIPPED_OF_FEW:.0%} of the videos may be unusable before the run ends "
            f"({usual['max_skipped']:.0%} from {FEW_VIDEOS:,} on)"
        )
    return Choice(recipe, {name: value for name, value in changes.items() if value != {}}, reasons)


def _why_recipe(found: Circumstances, recipe: str) -> str:
    if recipe == PUBLISHED:
        return f"{recipe}, the paper's: there is a GPU, and {found.num_videos:,} videos are enough for a large network"
    if found.adapts:
        return f"{recipe}: the weights to start from were made by it"
    if found.device == "cuda":
        return f"{recipe}: a small network learns from fewer than {MANY_VIDEOS:,} videos"
    return f"{recipe}: a small network, as there is no GPU"


def half_of(num_videos: int) -> int:
    """Clips of a step where there are few videos: a power of two, at most half of them, at least 2."""
    return int(2 ** (max(2, num_videos // 2).bit_length() - 1))


def _batch(found: Circumstances, usual: int) -> tuple[int, str]:
    """Clips of a step."""
    if (half := half_of(found.num_videos)) < usual:
        return half, f"{half} clips a step: at most half of the videos, so that the others serve as negatives"
    return usual, f"{usual} clips a step, the recipe's"


def _queue(found: Circumstances, usual: int) -> tuple[int, str]:
    """Keys kept: at most a quarter of the videos, at least 1."""
    quarter = max(1, found.num_videos // 4)
    if quarter >= usual:
        return usual, f"{counted(usual, 'key')}, the recipe's"
    few = "" if found.num_videos >= 64 else ". So few videos hardly teach A-VID; RSP does not need the queue"
    return quarter, f"{counted(quarter, 'key')}: a quarter of the videos, or it fills with keys of the same videos{few}"


@dataclass(frozen=True)
class _Clip:
    """Frames of a clip and the two speeds it is played at."""

    frames: int
    slow: int
    fast: int

    @property
    def window(self) -> int:
        """Frames of a video that the fast one needs."""
        return self.frames * self.fast

    def __str__(self) -> str:
        return f"{self.frames} frames at speeds {self.slow} and {self.fast}"


def _clip(found: Circumstances, data: Mapping[str, Any]) -> tuple[_Clip, str]:
    """The recipe's clip; where its window does not fit into nine of ten videos first slower, then with fewer frames.

    Speeds go first: a network that has learned from 16 frames serves any video later, one of 4 frames does not.
    """
    usual = _Clip(data["num_frames"], data["base_speed"], max(data["speeds"]))
    if found.frames is None:
        return usual, f"{usual}, {data['size']}², the recipe's: the length of the videos could not be read"
    ladder = [usual, *([_Clip(usual.frames, 1, 2)] if usual.fast > 2 else [])]
    while ladder[-1].frames // 2 >= FEWEST_FRAMES:
        ladder.append(_Clip(ladder[-1].frames // 2, 1, 2))
    clip = next((clip for clip in ladder if clip.window <= found.frames), ladder[-1])
    text = f"{clip}, {data['size']}²"
    if clip.window > found.frames:
        return clip, f"{text}: more than one of ten videos is shorter than {clip.window} frames and will be skipped"
    if clip != usual:
        longer = ladder[ladder.index(clip) - 1].window
        return clip, f"{text}: a window of {clip.window} frames fits into nine of ten videos, {longer} would not"
    return (
        clip,
        f"{text}, the recipe's: nine of ten videos have {found.frames:,} frames or more, it needs {clip.window}",
    )


def _steps(found: Circumstances, batch: int, *, epochs: int, published: bool) -> tuple[int, str]:
    """Steps of the whole training."""
    steps = max(1, round(found.num_videos * epochs / batch))
    if published:
        return steps, f"{steps:,}: {epochs} visits to every video, as published"
    most = MOST_STEPS_GPU if found.device == "cuda" else MOST_STEPS_CPU
    if steps > most:
        seen = most * batch / found.num_videos
        return most, f"{most:,}: the most on a {'GPU' if found.device == 'cuda' else 'CPU'}; {seen:.1f} visits a video"
    if steps < FEWEST_STEPS:
        seen = FEWEST_STEPS * batch / found.num_videos
        return FEWEST_STEPS, f"{FEWEST_STEPS}: the fewest that teach anything; {seen:.0f} visits to every video"
    return steps, f"{steps:,}: {epochs} visits to every video, the recipe's"


def _read(recipe: str) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(recipe_path(recipe).read_text(encoding="utf-8"))
    return settings
