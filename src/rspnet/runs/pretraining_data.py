"""The clips of a pre-training, and how many of its videos have to be left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from rich.console import Console

from rspnet.core.counts import counted
from rspnet.core.progress import print_note
from rspnet.data.annotations import VideoRecord
from rspnet.data.checks.survey import Look, survey
from rspnet.data.clip_sets import ClipSetDataset
from rspnet.data.clip_tasks import ClipSampler, ClipTask, SpeedPairs, Speeds
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import PairLoader, make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler
from rspnet.engine.runtime import available_cores

_SURVEY_SECONDS = 3.0


@dataclass(frozen=True)
class PretrainingClips:
    """How the clips of a pre-training are cut and augmented; the options of these names of `rspnet pretrain --data`.

    The defaults are those of the options: of a run that is older than an option, too.
    """

    num_frames: int = 16
    size: int = 112
    speeds: tuple[int, ...] = (2,)
    base_speed: int = 1
    fps: float | None = None
    augmentation: str = "published"
    noise_std: float = 0.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> PretrainingClips:
        """From the options of a section `data`, as a config.yaml keeps them; the other options are passed over."""
        found = {item.name: options[item.name] for item in fields(cls) if item.name in options}
        return cls(**found | {"speeds": tuple(found.get("speeds", cls.speeds))})

    @property
    def played(self) -> Speeds:
        """The slow and the fast speeds."""
        return Speeds(self.speeds, self.base_speed)

    def for_dataset(self, *, seed: int) -> dict[str, Any]:
        """What data sets of all methods need."""
        preset = replace(augment_preset(self.augmentation), noise_std=self.noise_std)
        return {"num_frames": self.num_frames, "size": self.size, "fps": self.fps, "preset": preset, "seed": seed}


def pair_dataset(clips: PretrainingClips, records: Sequence[VideoRecord], *, seed: int) -> ClipPairDataset:
    """Where the samples of a pre-training by RSP and A-VID come from."""
    return ClipPairDataset(records, speeds=clips.speeds, **clips.for_dataset(seed=seed))


def pretraining_batches(
    wanted: SpeedPairs | ClipTask,
    clips: PretrainingClips,
    records: Sequence[VideoRecord],
    sampler: PairSampler,
    **options: Any,
) -> PairLoader[Any]:
    """The batches of a pre-training: the clips that its method wants, of the videos that the sampler names.

    Args:
        wanted: what a method wants (`PretextMethod.clips`).
        clips: how they are cut.
        records: the videos.
        sampler: this rank's videos, step by step.
        options: of `make_loader`.
    """
    if isinstance(wanted, SpeedPairs):
        return make_loader(pair_dataset(clips, records, seed=sampler.seed), sampler, **options)
    dataset = ClipSetDataset(records, task=wanted, **clips.for_dataset(seed=sampler.seed))
    return make_loader(dataset, ClipSampler(sampler, wanted), **options)


def survey_videos(
    records: Sequence[VideoRecord], look: Look, *, max_skipped: float, workers: int, seed: int, console: Console
) -> None:
    """Report how many videos will have to be left out, from a look of some seconds at as many as that allows.

    Args:
        records: the videos.
        look: says why a video cannot be used.
        max_skipped: share of them at which the run ends, for a warning.
        workers: loader processes of the run; with none this process looks by itself.
        seed: of the order in which they are looked at.
        console: where to print.
    """
    found = survey(records, look, seed=seed, workers=workers and available_cores(), max_seconds=_SURVEY_SECONDS)
    part = "all" if found.looked_at == found.total else f"{found.looked_at:,} of"
    seen = f"{part} {counted(found.total, 'video')} in {found.seconds:.1f} s"
    text = f"looked at {seen} (containers and times, not pictures): "
    if found.unusable:
        first = found.unusable[0]
        text += f"{len(found.unusable):,} ({found.share:.1%}) will be skipped, such as {first.name!r}: {first.reason}"
    else:
        text += "none has to be skipped"
    console.print(text)
    if found.share > max_skipped:
        print_note(
            console,
            f"that is more than --data.max_skipped {max_skipped:.1%}, at which the run ends; "
            "rspnet doctor names every bad video and writes a list of the others (--write_list); without a recipe the "
            "clip is chosen by the length of the videos",
        )
