"""Options of `rspnet probe`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rspnet.config.labelled import DATASET, LabelledDataConfig
from rspnet.config.rules import DEFAULT_WEIGHTS, ByPlace, require
from rspnet.config.view import EvenViewConfig


@dataclass(frozen=True)
class ProbeConfig(EvenViewConfig):
    """Judge frozen features: linear classifier, nearest neighbours, and curves over few labels.

    Example: rspnet probe UCF101 --weights runs/first --out runs/probe
    """

    BY_PLACE: ClassVar[ByPlace] = DATASET

    data: LabelledDataConfig
    """Labelled videos: classifiers learn from the training split and are scored on the test split."""
    weights: str = DEFAULT_WEIGHTS
    """Weights: checkpoint, run folder, export, published file, or the name of weights that come with the package."""
    out: str = "probe"
    """Run folder: result.json, predictions, confusion.png, few_labels.png, skipped.csv and config.yaml go there."""
    random_init: bool = False
    """Use the same network with fresh weights drawn from the seed: the control every probe needs."""
    few_labels: tuple[int, ...] = (1, 5, 10, 20)
    """Labelled videos per class of the few-label curve; numbers a class does not have are left out and named."""
    pooling: Literal["average", "max"] = "average"
    """Pooling of the last feature map."""
    descriptor: Literal["mean", "mean_std", "mean_std_change"] = "mean_std_change"
    """A video's vector. mean: of its clips' features; mean_std: followed by their standard deviation over the clips;
    mean_std_change: and by their change from clip to clip, of two earlier stages, too. The latter two are
    whitened over the training videos where vectors are compared."""
    stream: Literal["motion", "appearance", "both"] = "motion"
    """Of a network with two streams, the one whose features count; any other has one."""
    cache: str | None = None
    """Folder of features kept between runs; the default is rspnet/features in the user's cache folder."""
    seed: int = 0
    """Seed of fresh weights, folds, draws and bootstrap."""
    dry_run: bool = False
    """Print what would be done and what it will take (a few videos are tried), write nothing, and stop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = all(number >= 1 for number in self.few_labels)
        require(fits, f"--few_labels {list(self.few_labels)}: each must be at least 1")
