"""Options of `rspnet classify fit` and `rspnet classify run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rspnet.config.on_ray import RayViewConfig
from rspnet.config.rules import Device, positional, require, require_clips

VectorKind = Literal["features", "motion", "appearance"]


@dataclass(frozen=True)
class ClassifyFitConfig:
    """Learn a class of moments from few labels, on features that rspnet embed --window_s wrote.

    Example: rspnet classify fit labels.csv --features features --background --out classifier
    """

    features: str
    """Run folder of rspnet embed, or the features.parquet in it."""
    labels: str = positional(
        "CSV with the columns path and label, and start_s and end_s for parts of a video; a column group (site, "
        "subject, camera) keeps apart what cross-validation must not mix. Aggregated events of BORIS are read, too."
    )
    out: str = "classifier"
    """Run folder: classifier.npz, result.json and config.yaml go there."""
    vectors: tuple[VectorKind, ...] = ("features",)
    """What the classifier looks at: the backbone's features, the vectors of a head (motion, appearance), or several."""
    background: bool = False
    """Take the unlabelled time of labelled videos for a class of its own; needed for events and their scores."""
    root: str | None = None
    """Folder that the paths of the labels are relative to; the default is the folder of the table."""
    seed: int = 0
    """Seed of folds, drawn background and bootstrap."""

    def __post_init__(self) -> None:
        require(bool(self.vectors), "--vectors: name at least one kind")
        require(len(set(self.vectors)) == len(self.vectors), f"--vectors {list(self.vectors)}: name each kind once")


@dataclass(frozen=True)
class ClassifyRunConfig(RayViewConfig):
    """Find the moments of trained classes in videos: probabilities, events, subtitles, BORIS, ELAN, a page of strips.

    Example: rspnet classify run classifier my_videos --out timeline
    """

    classifier: str = positional("Run folder of rspnet classify fit, or the classifier.npz in it.")
    videos: list[str] = positional(
        "Video files, and folders or lists of videos; or features that rspnet embed wrote.", nargs="+"
    )
    out: str = "timeline"
    """Run folder: events.csv, windows.parquet, timeline.html, subtitles, elan, boris.tsv and the features go there."""
    weights: str | None = None
    """The weights that the classifier's features came from, where they have moved since."""
    batch_size: int = 16
    """Clips that go through the network together."""
    device: Device = "auto"
    """Where to run."""
    dry_run: bool = False
    """Print what would be done and what it will take (a few seconds of videos are tried), write nothing, and stop."""

    def __post_init__(self) -> None:
        self.require_ray()
        require_clips(self)
