"""The labelled videos and test views that options and checkpoints name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rspnet.config.finetune import LabelledClipsConfig
from rspnet.config.labelled import LabelledDataConfig
from rspnet.config.old_words import in_new_settings
from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.labelled.layout import Split
from rspnet.data.labelled.read_labelled import class_names, listed_classes, read_labelled
from rspnet.runs.built_in import refuse_other_split
from rspnet.runs.run_folder import section_from


def labelled_records(data: LabelledDataConfig, split: Split) -> list[VideoRecord]:
    """The videos of one part of a configuration's data set; see `read_labelled`.

    Raises:
        RSPNetError: they cannot be read, or all training videos are of one class.
    """
    records = read_labelled(**asdict(data), split=split)
    if split == "train" and len({record.label for record in records}) == 1:
        raise RSPNetError(
            f"--data.root {data.root!r}: all training videos ({len(records)}) are of one class, "
            f"{records[0].class_name!r}: there is nothing to tell apart, name data of two classes or more"
        )
    return records


def classes_of(data: LabelledDataConfig, *parts: list[VideoRecord]) -> list[str]:
    """The names of a configuration's classes by number, of those, too, that none of its videos is of."""
    assert data.kind is not None
    assert data.root is not None
    return class_names(*parts, listed=listed_classes(data.kind, data.root, fold=data.fold))


def clip_shape(clips: LabelledClipsConfig) -> ClipShape:
    """The clips of a configuration."""
    return ClipShape(clips.num_frames, clips.stride, clips.size, fps=clips.fps, spread=clips.spread)


def scoring_view(clips: LabelledClipsConfig) -> EvenClips:
    """Which clips of a test video a configuration asks for."""
    return EvenClips(clip_shape(clips), clips.num_clips, clips.num_crops)


def read_sections(config: Mapping[str, Any]) -> tuple[LabelledDataConfig, LabelledClipsConfig]:
    """The sections `data` and `clips` of a checkpoint's configuration.

    Raises:
        ConfigError: an earlier version drew the split by a seed that can no longer be given.
    """
    refuse_other_split(config)
    config = in_new_settings("finetune", config)
    return section_from(LabelledDataConfig, config["data"]), section_from(LabelledClipsConfig, config["clips"])
