"""The videos of a fine-tuning: those that are trained on, those that may choose an epoch, those that are scored."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rspnet.api.labelled_options import classes_of, labelled_records
from rspnet.config.finetune import FinetuneConfig
from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.groups import groups_of
from rspnet.runs.predictions import labels_of


@dataclass(frozen=True)
class Videos:
    """The videos that are trained on, those that may choose an epoch, those that are scored, and the classes' names."""

    train: list[VideoRecord]
    validation: list[VideoRecord]
    test: list[VideoRecord]
    class_names: list[str]

    def __str__(self) -> str:
        """How many there are."""
        parts = (
            f"{len(self.train)} training, {len(self.validation)} validation, {counted(len(self.test), 'test video')}"
        )
        return f"{parts}, {counted(len(self.class_names), 'class')}"


def finetuning_videos(config: FinetuneConfig) -> tuple[Videos, FinetuneConfig]:
    """The videos, and the configuration with the protocol that it names or that they ask for.

    Raises:
        RSPNetError: they cannot be read, or the validation split does not go with them.
    """
    training, validation, test = (labelled_records(config.data, split) for split in ("train", "val", "test"))
    config = with_protocol(config, has_validation=bool(validation))
    if not validation:
        training, validation = carve_validation(training, config.validation_share, seed=config.seed)
    return Videos(training, validation, test, classes_of(config.data, training, validation, test)), config


def with_protocol(config: FinetuneConfig, *, has_validation: bool) -> FinetuneConfig:
    """The configuration with the protocol that it names, or that the data ask for.

    Args:
        config: as given.
        has_validation: the data come with a validation split of their own.

    Raises:
        ConfigError: there is no validation split to choose on, or a second one was asked for.
    """
    if has_validation and config.validation_share:
        raise ConfigError(
            f"--validation_share {config.validation_share}: the data have a validation split of their own; drop it"
        )
    protocol = config.protocol or ("validation" if has_validation else "last")
    if protocol == "validation" and not has_validation and not config.validation_share:
        raise ConfigError(
            "--protocol validation needs --validation_share (say 0.1), or data with a validation split of their own"
        )
    return replace(config, protocol=protocol)


def carve_validation(
    records: list[VideoRecord], share: float, *, seed: int
) -> tuple[list[VideoRecord], list[VideoRecord]]:
    """(training, validation): `share` of every class's videos by seed, whole UCF101 groups where the names show them.

    Raises:
        ConfigError: a class would be left without a training video.
    """
    if share == 0:
        return records, []
    units = groups_of(records) or [record.name for record in records]
    chosen: set[str] = set()
    for label in sorted(set(labels_of(records).tolist())):
        members = [(unit, record) for unit, record in zip(units, records, strict=True) if record.label == label]
        own = sorted({unit for unit, _ in members})
        count = max(1, round(share * len(own)))
        if count >= len(own):
            raise ConfigError(
                f"--validation_share {share}: leaves class {members[0][1].class_name or label} "
                f"(videos or groups: {len(own)}) no training video"
            )
        chosen |= {own[place] for place in numpy_rng(seed, "validation", label).permutation(len(own))[:count]}
    marked = list(zip(units, records, strict=True))
    return [r for unit, r in marked if unit not in chosen], [r for unit, r in marked if unit in chosen]
