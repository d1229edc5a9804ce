"""Options that every command on labelled videos shares, and those of `rspnet subset`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rspnet.config.rules import ByPlace, positional, require

LabelledKind = Literal["ucf101", "hmdb51", "kinetics", "ssv2", "diving48", "folders", "csv"]


@dataclass(frozen=True)
class LabelledDataConfig:
    """Which labelled videos: a data set in the layout its makers publish, class folders, or a CSV."""

    root: str | None = None
    """Folder of the data set; of a CSV the folder that its paths are relative to, by default its own."""
    kind: LabelledKind | None = None
    """Layout; `folders` is one folder of videos a class, `csv` a table with columns path, label and perhaps split. The
    default is csv where a CSV is named, else ucf101."""
    fold: int = 1
    """Published fold (UCF101 and HMDB51 have three); another draw where the split is made by seed."""
    list: str | None = None
    """The CSV of kind `csv`."""
    test_share: float = 0.2
    """Share of every class kept for testing where the split is made by seed (folders, csv without a split column)."""
    allow_missing: bool = False
    """Leave out listed videos whose files are missing instead of ending; scores are then of another data set."""

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", "csv" if self.list else "ucf101")
        if self.list and not self.root:
            from rspnet.core.urls import as_path  # what --help does without

            object.__setattr__(self, "root", str(as_path(self.list).parent))
        require(bool(self.root), "name a data set: its folder, or a CSV of kind csv")
        require(self.fold >= 1, f"--data.fold {self.fold}: must be at least 1")
        require(0 < self.test_share < 1, f"--data.test_share {self.test_share}: must be above 0 and below 1")
        require((self.kind == "csv") == bool(self.list), "--data.list belongs to --data.kind csv, which needs it")


DATASET = ByPlace(
    "dataset",
    "Folder of the data set, or a CSV of videos and their classes: as --data.root or --data.list.",
    lambda dataset: "data.list" if dataset.lower().endswith(".csv") else "data.root",
)
"""Labelled videos, given by place."""


@dataclass(frozen=True)
class SubsetConfig:
    """Make Kinetics-100 (or another number) out of Kinetics: links to the classes with the fewest bytes.

    Example: rspnet subset K400 --out K100
    """

    dataset: str = positional("Kinetics folder with train* and val*.")
    out: str = "subset"
    """New folder; gets train/CLASS and val/CLASS as symbolic links."""
    num_classes: int = 100
    """Classes to keep."""

    def __post_init__(self) -> None:
        require(self.num_classes >= 1, f"--num_classes {self.num_classes}: must be at least 1")
