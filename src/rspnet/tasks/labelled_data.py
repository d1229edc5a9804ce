"""Labelled videos as the commands ask for them; `rspnet subset`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rspnet.config.labelled import LabelledDataConfig, SubsetConfig
from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.kinetics import link_smallest_classes
from rspnet.data.labelled.layout import Split, require_root
from rspnet.data.labelled.read import read_labelled


def labelled_records(data: LabelledDataConfig, split: Split) -> list[VideoRecord]:
    """The training or test videos of a configuration; see `read_labelled`."""
    assert data.root is not None
    return read_labelled(**asdict(data), split=split)


def make_subset(config: SubsetConfig) -> None:
    """Link the smallest classes into a new folder and name them."""
    require_root(Path(config.root))
    kept = link_smallest_classes(Path(config.root), Path(config.out), num_classes=config.num_classes)
    print(f"{len(kept)} classes in {config.out}: {', '.join(kept)}")
